//! Cookies: on https with the `__Host-` prefix, which ties them to this very host (RFC 6265bis, 4.1.3.2).

use super::visit::Visit;

/// How long a browser keeps a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// Until it is closed.
    WhileOpen,
    /// So many seconds.
    Seconds(u64),
}

/// The name that a cookie has here.
pub(crate) fn name(visit: &Visit, name: &str) -> String {
    if visit.is_https() { format!("__Host-{name}") } else { name.to_owned() }
}

/// A `Set-Cookie` value. `Lax`, since people come to `/authorize` by a link from another site.
pub(crate) fn set(visit: &Visit, cookie: &str, value: &str, lasts: Lasts) -> String {
    let name = name(visit, cookie);
    let secure = if visit.is_https() { "; Secure" } else { "" };
    let age = match lasts {
        Lasts::WhileOpen => String::new(),
        Lasts::Seconds(seconds) => format!("; Max-Age={seconds}"),
    };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}")
}

/// A `Set-Cookie` value that removes one.
pub(crate) fn remove(visit: &Visit, cookie: &str) -> String {
    set(visit, cookie, "", Lasts::Seconds(0))
}
