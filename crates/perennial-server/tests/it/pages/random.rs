//! Whatever is sent, no page panics, fails, or lets a text of the sender's become markup or an address.

use proptest::prelude::*;

use super::browser::Browser;
use super::site::{Answer, CHALLENGE, REDIRECT_URI, Site};

const HOSTILE: &str = "\"'><script>alert(1)</script>";

/// Names and values as clients send them, and as nobody should.
fn parameters() -> impl Strategy<Value = Vec<(String, String)>> {
    let names = prop::sample::select(vec![
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "scope",
        "state",
        "nonce",
        "prompt",
        "max_age",
        "login_hint",
        "id_token_hint",
        "code_challenge",
        "code_challenge_method",
        "request",
        "request_uri",
        "csrf",
        "username",
        "password",
        "decision",
        "subject",
        "confirm",
        "post_logout_redirect_uri",
        "ui_locales",
        "x",
    ]);
    let values = prop_oneof![
        prop::sample::select(vec![
            "app",
            "partner",
            "native",
            "off",
            REDIRECT_URI,
            "code",
            "query",
            "openid profile",
            "none",
            "login",
            "consent",
            "0",
            "60",
            CHALLENGE,
            "S256",
            "allow",
            "yes",
            "https://app.example/bye",
            HOSTILE,
        ])
        .prop_map(str::to_owned),
        ".{0,40}",
        "[ -~]{0,40}",
    ];
    prop::collection::vec((names.prop_map(str::to_owned), values), 0..14)
}

#[track_caller]
fn is_harmless(answer: &Answer) {
    assert!(answer.status.as_u16() < 500, "{answer:?}");
    assert!(!answer.body.contains("<script"), "{answer:?}");
    let location = answer.header("location");
    let expected = [
        "/authorize?",
        "/logout?",
        "https://app.example/callback?",
        "https://app.example/bye",
        "http://127.0.0.1",
        "http://[::1]",
        "com.example.app:/callback?",
    ];
    assert!(location.is_empty() || expected.iter().any(|start| location.starts_with(start)), "{location}");
}

#[test]
fn arbitrary_requests_are_answered_and_harmless() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let site = runtime.block_on(Site::new());
    let mut signed_in = Browser::new(&site);
    runtime.block_on(signed_in.sign_in(&[]));
    let cookies = signed_in.cookies;
    // A failing case prints what was sent; PROPTEST_RNG_SEED and proptest-regressions give it again.
    proptest!(ProptestConfig::with_cases(192), |(pairs in parameters(), raw in "[ -~]{0,60}", with_login: bool)| {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        let mut browser = Browser::new(&site);
        if with_login {
            browser.cookies = cookies.clone();
        }
        let raw: String = raw.chars().filter(|c| !" \"<>`{}|\\^#".contains(*c)).collect();
        runtime.block_on(async {
            for path in ["/authorize", "/logout", "/sign-in", "/consent", "/errors/x"] {
                is_harmless(&browser.get(&format!("{path}?{query}")).await);
                is_harmless(&browser.get(&format!("{path}?{raw}")).await);
            }
            let csrf = browser.cookies.get("perennial_csrf").cloned().unwrap_or_default();
            let mut form: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
            form.retain(|(name, _)| *name != "csrf" && *name != "password");
            form.extend([("csrf", &*csrf), ("request", &*query)]);
            for path in ["/authorize", "/consent", "/logout"] {
                is_harmless(&browser.post(path, &form).await);
            }
        });
    });
}

#[tokio::test]
async fn what_is_echoed_is_never_markup() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    for name in ["login_hint", "state", "nonce", "scope", "x"] {
        browser.authorize(&[(name, HOSTILE), ("prompt", "login")]).await.shows_no("<script");
    }
    let page = browser.authorize(&[("login_hint", HOSTILE)]).await;
    page.is_page(200).shows("&lt;script&gt;");
    browser.fill_in(&page, HOSTILE, "a wrong password").await.is_page(422).shows_no("<script");
    // A client whose name is an attack, and a refused form that offers a new start.
    let hostile = [("client_id", "hostile"), ("state", HOSTILE)];
    let page = browser.sign_in(&hostile).await;
    page.is_page(200).shows("&lt;script&gt;").shows_no("<script");
    browser.post("/sign-in", &[("request", HOSTILE)]).await.is_page(403).shows_no("<script");
    for path in [format!("/logout?client_id=hostile&state={}", "%3Cscript"), "/%3Cscript%3E".to_owned()] {
        browser.get(&path).await.shows_no("<script");
    }
}
