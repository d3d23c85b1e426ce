//! What kind of software asks: its product and operating system family, out of `User-Agent`.
//!
//! Never a version, so that an update is not taken for a stranger; and a claim that anybody can make, so it
//! raises or lowers nothing by itself: it is only held against what the session has seen.

/// Browsers call themselves several things; the first of these that is there is the one they are.
const BROWSERS: [&str; 8] = ["Edg", "OPR", "SamsungBrowser", "Firefox", "FxiOS", "Chrome", "CriOS", "Safari"];

/// Words that give an operating system family away, the more telling first: Android says Linux too, and an
/// iPhone says Mac OS X.
const SYSTEMS: [(&str, &str); 10] = [
    ("android", "android"),
    ("iphone", "ios"),
    ("ipad", "ios"),
    ("ios", "ios"),
    ("windows", "windows"),
    ("cros", "chromeos"),
    ("mac os", "macos"),
    ("macos", "macos"),
    ("darwin", "darwin"),
    ("linux", "linux"),
];

/// How much of a header is read: more than that says nothing about the product.
const READ: usize = 512;

/// Product and operating system family; both empty where the client says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Software<'a> {
    pub(crate) product: &'a str,
    pub(crate) system: &'static str,
}

impl<'a> Software<'a> {
    /// Reads a `User-Agent` (RFC 9110, 10.1.5).
    pub(crate) fn of_user_agent(text: &'a str) -> Self {
        let text = text.char_indices().nth(READ).map_or(text, |(end, _)| &text[..end]).trim();
        Self { product: product(text), system: system(text) }
    }
}

fn product(text: &str) -> &str {
    let first = name(text.split_ascii_whitespace().next().unwrap_or(""));
    if first != "Mozilla" {
        return first;
    }
    let is_named = |browser: &&&str| text.split_ascii_whitespace().any(|token| name(token) == **browser);
    BROWSERS.iter().find(is_named).copied().unwrap_or(first)
}

fn name(token: &str) -> &str {
    token.split_once('/').map_or(token, |(name, _)| name)
}

fn system(text: &str) -> &'static str {
    let has = |word: &str| {
        text.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
    };
    SYSTEMS.iter().find(|(word, _)| has(word)).map_or("", |(_, family)| family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_never_count() {
        for (agent, product, system) in [
            ("perennial/0.1.0 (linux; x86_64)", "perennial", "linux"),
            ("perennial/9.9.9 (linux; aarch64)", "perennial", "linux"),
            ("curl/8.5.0", "curl", ""),
            ("", "", ""),
            ("   ", "", ""),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
                "Chrome",
                "linux",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1",
                "Safari",
                "ios",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
                "Edg",
                "windows",
            ),
            ("Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox", "android"),
            ("Notes/3.2 CFNetwork/1490 Darwin/23.2.0", "Notes", "darwin"),
        ] {
            assert_eq!(Software::of_user_agent(agent), Software { product, system }, "{agent}");
        }
    }
}
