//! Forms that were not sent from a page of ours change nothing.

use super::browser::Browser;
use super::site::{Answer, LOGIN, PASSWORD, Site};

async fn sign_in_with(
    browser: &mut Browser<'_>,
    page: &Answer,
    csrf: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let request = page.field("request");
    let form = [("csrf", csrf), ("request", &*request), ("username", LOGIN), ("password", PASSWORD)];
    browser.post_with("/sign-in", &form, headers).await
}

#[tokio::test]
async fn a_form_from_elsewhere_is_refused_and_offers_a_new_start() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let page = browser.authorize(&[]).await;
    let csrf = page.field("csrf");
    for (token, headers) in [
        ("", &[][..]),
        ("AAAAAAAAAAAAAAAAAAAAAA", &[]),
        (&*csrf, &[("sec-fetch-site", "cross-site")]),
        (&csrf, &[("sec-fetch-site", "same-site")]),
        (&csrf, &[("origin", "https://evil.example")]),
        (&csrf, &[("origin", "null")]),
        (&csrf, &[("origin", "https://localhost:8080.evil.example")]),
    ] {
        let answer = sign_in_with(&mut browser, &page, token, headers).await;
        answer
            .is_page(403)
            .shows("Start again")
            .shows("/authorize?client_id=app&amp;".replace('/', "&#x2f;").as_str());
        assert!(!browser.cookies.contains_key("perennial_login"), "{headers:?}");
    }
    // Without the cookie the token is worth nothing.
    let mut other = Browser::new(&site);
    sign_in_with(&mut other, &page, &csrf, &[]).await.is_page(403);
    // A browser that says nothing about origins, one that reached us by another name, and one that says all.
    for headers in [&[][..], &[("origin", "http://localhost:8080")], &[("sec-fetch-site", "same-origin")]] {
        sign_in_with(&mut browser, &page, &csrf, headers).await.location();
    }
}

#[tokio::test]
async fn two_tabs_can_show_forms_at_once() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let first = browser.authorize(&[("state", "one")]).await;
    let second = browser.authorize(&[("state", "two")]).await;
    assert_eq!(first.field("csrf"), second.field("csrf"));
    let entered = browser.fill_in(&first, LOGIN, PASSWORD).await;
    let next = entered.location().to_owned();
    assert_eq!(browser.get(&next).await.answer("state").as_deref(), Some("one"));
    let entered = browser.fill_in(&second, LOGIN, PASSWORD).await;
    let next = entered.location().to_owned();
    assert_eq!(browser.get(&next).await.answer("state").as_deref(), Some("two"));
}

#[tokio::test]
async fn consent_and_sign_out_are_guarded_alike() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let page = browser.sign_in(&[("client_id", "partner")]).await;
    let (request, subject) = (page.field("request"), page.field("subject"));
    let form = [("csrf", "x"), ("request", &*request), ("subject", &*subject), ("decision", "allow")];
    browser.post("/consent", &form).await.is_page(403);
    let form = [("csrf", "x"), ("request", ""), ("confirm", "yes")];
    browser.post("/logout", &form).await.is_page(403);
    assert!(site.sessions().await.is_empty());
    browser.authorize(&[("prompt", "none")]).await.code();
}
