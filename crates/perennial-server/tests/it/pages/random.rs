//! Whatever is sent, no page panics, fails, or lets a text of the sender's become markup or an address.

use perennial_testkit::{Seed, cases};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::browser::{Browser, authorize};
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
    let config = Config {
        cases: cases(128),
        rng_seed: RngSeed::Fixed(Seed::announce().0),
        failure_persistence: None,
        ..Config::default()
    };
    let all = (parameters(), "[ -~]{0,60}", any::<bool>(), any::<bool>());
    let run = TestRunner::new(config).run(&all, |(pairs, raw, from_the_usual, signed_in)| {
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
        let query = if from_the_usual {
            authorize(&pairs).split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default()
        } else {
            form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish()
        };
        let raw: String = raw.chars().filter(|c| !" \"<>`{}|\\^#".contains(*c)).collect();
        runtime.block_on(ask_all(&site, &pairs, &query, &raw, signed_in));
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
}

async fn ask_all(site: &Site, pairs: &[(&str, &str)], query: &str, raw: &str, signed_in: bool) {
    let mut browser = Browser::new(site);
    if signed_in {
        browser.sign_in(&[]).await.code();
    }
    for path in ["/authorize", "/logout", "/sign-in", "/consent", "/errors/x"] {
        is_harmless(&browser.get(&format!("{path}?{query}")).await);
        is_harmless(&browser.get(&format!("{path}?{raw}")).await);
    }
    let csrf = browser.cookies.get("perennial_csrf").cloned().unwrap_or_default();
    let mut form = pairs.to_vec();
    // Without a password, which would only cost time here.
    form.retain(|(name, _)| *name != "csrf" && *name != "password" && *name != "request");
    form.extend([("csrf", &*csrf), ("request", query), ("subject", site.subject.as_str())]);
    for path in ["/authorize", "/consent", "/logout"] {
        is_harmless(&browser.post(path, &form).await);
    }
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
