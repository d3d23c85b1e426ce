//! Which redirect URIs are a client's: exact text, but for the port on loopback.
//!
//! Texts are compared, never parsed URLs: two parsers that disagree about one text are how open redirectors
//! are made (RFC 9700, 4.1).

/// Hosts whose port is chosen when the client starts (RFC 8252, 7.3; `localhost` only where it is registered
/// so, 8.3).
const LOOPBACK: [&str; 3] = ["http://127.0.0.1", "http://[::1]", "http://localhost"];

/// Whether `asked` is what was `registered`.
pub(crate) fn matches(registered: &str, asked: &str) -> bool {
    if !asked.bytes().all(|b| b.is_ascii_graphic()) || asked.contains('#') {
        return false;
    }
    if registered == asked {
        return true;
    }
    LOOPBACK.iter().any(|host| {
        let (Some(registered), Some(asked)) = (registered.strip_prefix(host), asked.strip_prefix(host))
        else {
            return false;
        };
        match (past_port(registered), past_port(asked)) {
            (Some(registered), Some(asked)) => registered == asked,
            (None, _) | (_, None) => false,
        }
    })
}

/// What follows the port, or the missing port; `None` where something else follows the host.
fn past_port(rest: &str) -> Option<&str> {
    let Some(port_on) = rest.strip_prefix(':') else {
        return rest.is_empty().then_some(rest).or_else(|| rest.starts_with(['/', '?']).then_some(rest));
    };
    // A registration may say that any port will do.
    if let Some(path) = port_on.strip_prefix('*') {
        return Some(path);
    }
    let digits = port_on.bytes().take_while(u8::is_ascii_digit).count();
    let (port, path) = port_on.split_at(digits);
    port.parse::<u16>().ok().filter(|port| *port != 0)?;
    (path.is_empty() || path.starts_with(['/', '?'])).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn any_port_on_loopback_and_nothing_else() {
        let registered = "http://127.0.0.1/callback";
        for good in
            ["http://127.0.0.1/callback", "http://127.0.0.1:1/callback", "http://127.0.0.1:65535/callback"]
        {
            assert!(matches(registered, good), "{good}");
        }
        for bad in [
            "http://127.0.0.1:0/callback",
            "http://127.0.0.1:65536/callback",
            "http://127.0.0.1:/callback",
            "http://127.0.0.1:*/callback/",
            "http://127.0.0.1:8080",
            "http://127.0.0.1:8080/callback/",
            "http://127.0.0.1:8080/callback?x=1",
            "http://127.0.0.1:8080/callback#x",
            "http://127.0.0.1:8080/%63allback",
            "http://127.0.0.1:8080@evil.example/callback",
            "http://127.0.0.1@evil.example/callback",
            "http://127.0.0.1.evil.example/callback",
            "http://127.0.0.10/callback",
            "https://127.0.0.1/callback",
            "http://localhost:8080/callback",
            "http://user@127.0.0.1/callback",
            "HTTP://127.0.0.1/callback",
            "http://127.0.0.1:8080/callback\n",
            "http://127.0.0.1:8080/call back",
        ] {
            assert!(!matches(registered, bad), "{bad}");
        }
        assert!(matches("http://[::1]/callback", "http://[::1]:4711/callback"));
        assert!(matches("http://localhost:3000/callback", "http://localhost:3001/callback"));
        assert!(matches("http://localhost:*/callback", "http://localhost:3001/callback"));
        assert!(matches("http://127.0.0.1", "http://127.0.0.1:80"));
    }

    #[test]
    fn elsewhere_only_the_exact_text() {
        let registered = "https://app.example/callback?tenant=1";
        assert!(matches(registered, registered));
        for bad in [
            "https://app.example/callback",
            "https://app.example:443/callback?tenant=1",
            "https://app.example/callback?tenant=1&x=2",
            "https://app.example/callback/../evil?tenant=1",
            "https://app.example.evil.example/callback?tenant=1",
            "https://evil.example/https://app.example/callback?tenant=1",
            "//app.example/callback?tenant=1",
            "",
        ] {
            assert!(!matches(registered, bad), "{bad}");
        }
        assert!(matches("com.example.app:/callback", "com.example.app:/callback"));
    }
}
