//! The cookies of one browser profile, as far as a sign-in needs them (RFC 6265).
//!
//! Cookies belong to a host exactly (no Domain attribute), `Secure` ones are sent to loopback too, as browsers do,
//! and expiry is only recognised as deletion: no test lives as long as a cookie.

use reqwest::header::{HeaderMap, SET_COOKIE};
use url::Url;

#[derive(Debug, Default)]
pub(super) struct Cookies(Vec<Cookie>);

#[derive(Debug)]
struct Cookie {
    host: String,
    path: String,
    secure: bool,
    name: String,
    value: String,
}

impl Cookies {
    /// Keeps what an answer from this address sets, and drops what it deletes.
    pub(super) fn keep(&mut self, from: &Url, headers: &HeaderMap) {
        for set in headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            self.keep_one(from, set);
        }
    }

    fn keep_one(&mut self, from: &Url, set: &str) {
        let mut parts = set.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let mut cookie = Cookie {
            host: from.host_str().unwrap_or_default().to_owned(),
            path: default_path(from.path()),
            secure: false,
            name: name.trim().to_owned(),
            value: value.trim().to_owned(),
        };
        let mut deleted = false;
        for part in parts {
            let (attribute, value) = part.split_once('=').unwrap_or((part, ""));
            match attribute.to_ascii_lowercase().as_str() {
                "path" if value.starts_with('/') => value.clone_into(&mut cookie.path),
                "secure" => cookie.secure = true,
                "max-age" => deleted = value.parse::<i64>().is_ok_and(|seconds| seconds <= 0),
                "expires" => deleted |= value.contains("1970"),
                _ => {}
            }
        }
        self.0.retain(|old| (&old.host, &old.path, &old.name) != (&cookie.host, &cookie.path, &cookie.name));
        if !deleted {
            self.0.push(cookie);
        }
    }

    /// The Cookie header for a request to this address.
    pub(super) fn header(&self, to: &Url) -> Option<String> {
        let pairs: Vec<_> =
            self.sent_to(to).into_iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    pub(super) fn value(&self, to: &Url, name: &str) -> Option<&str> {
        self.sent_to(to).into_iter().find(|cookie| cookie.name == name).map(|cookie| cookie.value.as_str())
    }

    fn sent_to(&self, to: &Url) -> Vec<&Cookie> {
        let trustworthy =
            to.scheme() == "https" || matches!(to.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let sent = |cookie: &&Cookie| {
            to.host_str() == Some(&cookie.host)
                && covers(&cookie.path, to.path())
                && (!cookie.secure || trustworthy)
        };
        self.0.iter().filter(sent).collect()
    }
}

/// RFC 6265, 5.1.4: the folder of the address that set it.
fn default_path(path: &str) -> String {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/".to_owned(),
        Some((folder, _)) => folder.to_owned(),
    }
}

fn covers(cookie_path: &str, path: &str) -> bool {
    let Some(rest) = path.strip_prefix(cookie_path) else { return false };
    rest.is_empty() || cookie_path.ends_with('/') || rest.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_cookie_goes_back_to_its_host_and_path_only() {
        let mut cookies = Cookies::default();
        cookies.keep_one(&url("http://localhost:1/authorize"), "__Host-a=1; Path=/; Secure; HttpOnly");
        cookies.keep_one(&url("http://localhost:1/authorize"), "b=2; Path=/account");
        assert_eq!(cookies.header(&url("http://localhost:2/")).as_deref(), Some("__Host-a=1"));
        assert_eq!(cookies.header(&url("http://localhost/account/x")).as_deref(), Some("__Host-a=1; b=2"));
        assert_eq!(cookies.header(&url("http://localhost/accounts")).as_deref(), Some("__Host-a=1"));
        assert_eq!(cookies.header(&url("http://127.0.0.1/")), None);
    }

    #[test]
    fn a_cookie_is_replaced_and_deleted_by_its_name() {
        let (mut cookies, here) = (Cookies::default(), url("http://localhost/"));
        cookies.keep_one(&here, "a=1");
        cookies.keep_one(&here, "a=2");
        assert_eq!(cookies.value(&here, "a"), Some("2"));
        cookies.keep_one(&here, "a=; Max-Age=0");
        assert_eq!(cookies.header(&here), None);
    }
}
