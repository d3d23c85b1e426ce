//! Sign-out: who is asked, what ends, and where it leads.

use perennial_core::session::{EndCause, State};

use super::browser::Browser;
use super::site::{Answer, Site};

fn id_token(site: &Site, sub: &str, sid: Option<&str>) -> String {
    // Long expired, as hints are.
    let claims = serde_json::json!({
        "iss": "http://localhost:8080", "sub": sub, "aud": "app", "sid": sid, "iat": 1, "exp": 2,
    });
    site.service.keys.sign("JWT", &claims).unwrap()
}

fn logout(parameters: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("/logout?{query}")
}

async fn confirm(browser: &mut Browser<'_>, page: &Answer) -> Answer {
    let (csrf, request) = (page.field("csrf"), page.field("request"));
    browser.post("/logout", &[("csrf", &*csrf), ("request", &*request), ("confirm", "yes")]).await
}

async fn living(site: &Site) -> Vec<String> {
    let sessions = site.sessions().await;
    let living = sessions.iter().filter(|(_, session)| matches!(session.hot.state, State::Active));
    let mut living: Vec<String> =
        living.map(|(_, session)| format!("{}: {}", session.grant.client, session.grant.scopes)).collect();
    living.sort();
    living
}

#[tokio::test]
async fn without_a_hint_the_person_is_asked_first() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[]).await.code();
    let request =
        [("client_id", "app"), ("post_logout_redirect_uri", "https://app.example/bye"), ("state", "s t")];
    let page = browser.get(&logout(&request)).await;
    page.is_page(200).shows("Sign out?").shows("Paper &amp; Ink").shows("ada");
    browser.authorize(&[("prompt", "none")]).await.code();
    let answer = confirm(&mut browser, &page).await;
    assert_eq!(answer.location(), "https://app.example/bye?state=s+t");
    assert!(!browser.cookies.contains_key("perennial_login"));
    browser.authorize(&[("prompt", "none")]).await.is_refused("login_required");
}

#[tokio::test]
async fn with_an_expired_id_token_of_whoever_is_signed_in_nobody_is_asked() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[("scope", "openid")]).await.code();
    let stranger = id_token(&site, "somebody-else", None);
    browser.get(&logout(&[("id_token_hint", &stranger)])).await.is_page(200).shows("Sign out?");
    let cookie = browser.cookies["perennial_login"].clone();
    let hint = id_token(&site, site.subject.as_str(), None);
    let answer = browser.get(&logout(&[("id_token_hint", &hint)])).await;
    answer.is_page(200).shows("You are signed out");
    assert_eq!(living(&site).await, Vec::<String>::new());
    let (_, session) = site.sessions().await.remove(0);
    assert!(matches!(session.hot.state, State::Ended { cause: EndCause::Logout, .. }));
    // The value is worth nothing any more, whoever kept it.
    browser.cookies.insert("perennial_login".to_owned(), cookie);
    browser.authorize(&[("prompt", "none")]).await.is_refused("login_required");
}

#[tokio::test]
async fn what_ends_is_what_this_browser_opened_at_this_client_and_does_not_outlive_a_sign_out() {
    let site = Site::new().await;
    let mut elsewhere = Browser::new(&site);
    elsewhere.sign_in(&[("scope", "openid")]).await.code();
    let mut browser = Browser::new(&site);
    browser.sign_in(&[("scope", "openid profile")]).await.code();
    // Proving it again does not lose what was opened before.
    browser.sign_in(&[("scope", "openid email"), ("prompt", "login")]).await.code();
    browser.authorize(&[]).await.code();
    browser.authorize(&[("client_id", "short"), ("scope", "openid")]).await.code();
    assert_eq!(living(&site).await.len(), 5);
    let page = browser.get(&logout(&[("client_id", "app")])).await;
    confirm(&mut browser, &page).await.is_page(200).shows("You are signed out");
    assert_eq!(living(&site).await, ["app: openid", "app: openid profile offline_access", "short: openid"]);
    // At no client: of all of them, in this browser.
    browser.sign_in(&[("client_id", "short"), ("scope", "openid")]).await.code();
    browser.authorize(&[("scope", "openid")]).await.code();
    let page = browser.get("/logout").await;
    confirm(&mut browser, page.is_page(200)).await.is_page(200);
    assert_eq!(living(&site).await, ["app: openid", "app: openid profile offline_access", "short: openid"]);
}

#[tokio::test]
async fn the_session_of_a_hint_ends_also_when_the_browser_has_forgotten_its_login() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[("scope", "openid")]).await.code();
    let sid = site.sessions().await[0].0.to_string();
    let mut forgetful = Browser::new(&site);
    let other = id_token(&site, "somebody-else", Some(&sid));
    forgetful.get(&logout(&[("id_token_hint", &other)])).await.is_page(200);
    assert_eq!(living(&site).await.len(), 1);
    let hint = id_token(&site, site.subject.as_str(), Some(&sid));
    forgetful.get(&logout(&[("id_token_hint", &hint)])).await.is_page(200);
    assert_eq!(living(&site).await.len(), 0);
}

#[tokio::test]
async fn nobody_is_sent_to_an_address_that_is_not_the_clients() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[]).await.code();
    let hint = id_token(&site, site.subject.as_str(), None);
    let access_token =
        site.service.keys.sign("at+jwt", &serde_json::json!({ "sub": "x", "aud": "app" })).unwrap();
    let bye = ("post_logout_redirect_uri", "https://app.example/bye");
    for request in [
        &[("id_token_hint", &*hint), ("post_logout_redirect_uri", "https://evil.example/")][..],
        &[("id_token_hint", &hint), ("post_logout_redirect_uri", "https://app.example/bye/")],
        &[("id_token_hint", &hint), ("post_logout_redirect_uri", "https://app.example/bye?x=1")],
        &[("id_token_hint", &hint), ("client_id", "short"), bye],
        &[("client_id", "nobody"), bye],
        &[("client_id", "off"), bye],
        &[bye],
        &[("id_token_hint", &access_token), bye],
        &[("id_token_hint", "a.b.c"), bye],
        &[("id_token_hint", &hint), bye, bye],
    ] {
        let answer = browser.get(&logout(request)).await;
        answer.is_page(400).shows("Sign out here");
        assert_eq!(answer.header("location"), "", "{request:?}");
    }
    browser.authorize(&[("prompt", "none")]).await.code();
    let answer = browser.get(&logout(&[("id_token_hint", &hint), bye])).await;
    assert_eq!(answer.location(), "https://app.example/bye");
}

#[tokio::test]
async fn a_clients_post_goes_on_as_a_get() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[]).await.code();
    let answer =
        browser.post_with("/logout", &[("client_id", "app")], &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(answer.location(), "/logout?client_id=app");
    // Nobody is signed in: there is nothing to ask.
    let mut other = Browser::new(&site);
    other.get("/logout").await.is_page(200).shows("You are signed out");
}
