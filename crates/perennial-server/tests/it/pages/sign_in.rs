//! Sign-in: names and passwords, what the browser keeps, and when it has to prove itself again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use perennial_core::UnixMillis;
use perennial_core::write::TicketKey;
use perennial_store::Store as _;
use sha2::{Digest as _, Sha256};

use super::browser::Browser;
use super::site::{LOGIN, PASSWORD, Site};

const COOKIE: &str = "perennial_login";

fn ticket_of(cookie: &str) -> TicketKey {
    let mut key = vec![b'l'];
    key.extend_from_slice(&Sha256::digest(URL_SAFE_NO_PAD.decode(cookie).unwrap()));
    TicketKey(key)
}

/// Lets `ms` pass since the browser's login, behind the server's back.
async fn age(site: &Site, browser: &Browser<'_>, ms: u64) {
    let key = ticket_of(&browser.cookies[COOKIE]);
    let mut ticket = site.store.ticket(&key).await.unwrap().expect("a login");
    let mut kept: serde_json::Value = serde_json::from_slice(&ticket.payload).unwrap();
    let then = kept["authenticated_at"].as_u64().unwrap() - ms;
    kept["authenticated_at"] = then.into();
    ticket.payload = serde_json::to_vec(&kept).unwrap();
    ticket.expires_at = UnixMillis(ticket.expires_at.0 - ms);
    site.store.put_ticket(ticket).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_are_told_apart_by_nothing() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let page = browser.authorize(&[]).await;
    let mut bodies = Vec::new();
    for (login, password) in [
        (LOGIN, "not the password"),
        ("nobody", "not the password"),
        (LOGIN, ""),
        (LOGIN, &"x".repeat(5000)),
        ("\u{0}", PASSWORD),
        (&"y".repeat(900), PASSWORD),
    ] {
        let answer = browser.fill_in(&page, login, password).await;
        answer.is_page(422).shows("do not belong together").shows("id=\"error\"").shows("role=\"alert\"");
        answer.shows_no("not the password");
        assert!(!browser.cookies.contains_key(COOKIE));
        bodies.push(answer.body.replace(&format!("value=\"{login}\""), ""));
    }
    assert_eq!(bodies[0], bodies[1]);
    // What was typed stays, and the password is where one goes on typing.
    let again = browser.fill_in(&page, "ADA ", "wrong").await;
    again.shows("value=\"ADA \"");
    assert_eq!(again.body.matches("autofocus").count(), 1);
    let tag = again.body.find("id=\"password\"").unwrap();
    assert!(again.body[tag..].find("autofocus").unwrap() < again.body[tag..].find('>').unwrap());
    // The name is read without regard to case and space around it.
    browser.fill_in(&again, " Ada ", PASSWORD).await.location();
}

#[tokio::test]
async fn a_disabled_account_is_as_good_as_none() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[]).await.code();
    let kind = perennial_store::RecordKind::Account;
    let record = site.store.record(kind, site.subject.as_str()).await.unwrap().unwrap();
    let mut kept: serde_json::Value = serde_json::from_slice(&record.body).unwrap();
    kept["disabled"] = true.into();
    let body = serde_json::to_vec(&kept).unwrap();
    let put = perennial_store::PutRecord { kind, key: record.key, expect: record.version, body };
    assert!(site.store.put_records(vec![put]).await.unwrap());
    // The login that the browser has is over, and no other begins.
    let page = browser.authorize(&[]).await;
    page.is_page(200).shows("id=\"sign-in-form\"");
    browser.fill_in(&page, LOGIN, PASSWORD).await.is_page(422).shows("do not belong together");
}

#[tokio::test]
async fn guessing_is_slowed_down_and_the_owner_elsewhere_is_not_locked_out() {
    let site = Site::new().await;
    let mut owner = Browser::new(&site);
    owner.addr = "198.51.100.9";
    owner.sign_in(&[]).await.code();
    let mut guesser = Browser::new(&site);
    let page = guesser.authorize(&[]).await;
    for _ in 0..10 {
        guesser.fill_in(&page, LOGIN, "a guess at it").await.is_page(422);
    }
    // Even the right password is not looked at now.
    let refused = guesser.fill_in(&page, LOGIN, PASSWORD).await;
    refused.is_page(429).shows("Too many attempts").shows("value=\"ada\"");
    let wait_s: u32 = refused.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&wait_s), "{wait_s}");
    let page = owner.authorize(&[("prompt", "login")]).await;
    owner.fill_in(&page, LOGIN, PASSWORD).await.location();
}

#[tokio::test]
async fn each_sign_in_gets_a_new_value_and_a_planted_one_is_worth_nothing() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let planted = URL_SAFE_NO_PAD.encode([7; 32]);
    browser.cookies.insert(COOKIE.to_owned(), planted.clone());
    browser.sign_in(&[]).await.code();
    let first = browser.cookies[COOKIE].clone();
    assert_ne!(first, planted);
    let page = browser.authorize(&[("prompt", "login")]).await;
    browser.fill_in(&page, LOGIN, PASSWORD).await.location();
    let second = browser.cookies[COOKIE].clone();
    assert_ne!(first, second);
    for worthless in [planted, first, "x".to_owned(), String::new(), "é".to_owned()] {
        let mut other = Browser::new(&site);
        other.cookies.insert(COOKIE.to_owned(), worthless);
        other.authorize(&[]).await.is_page(200).shows("id=\"sign-in-form\"");
    }
}

#[tokio::test]
async fn the_store_holds_nothing_that_signs_anybody_in() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[]).await.code();
    let cookie = browser.cookies[COOKIE].clone();
    assert_eq!(URL_SAFE_NO_PAD.decode(&cookie).unwrap().len(), 32);
    let ticket = site.store.ticket(&ticket_of(&cookie)).await.unwrap().expect("found by its hash");
    assert!(!String::from_utf8_lossy(&ticket.payload).contains(&cookie));
    let record =
        site.store.record(perennial_store::RecordKind::Account, site.subject.as_str()).await.unwrap();
    let body = String::from_utf8(record.unwrap().body).unwrap();
    assert!(body.contains("$argon2id$v=19$m=19456,t=2,p=1$") && !body.contains(PASSWORD), "{body}");
}

#[tokio::test]
async fn on_https_the_cookies_are_tied_to_the_host() {
    let site = Site::at("https://login.example").await;
    let mut browser = Browser::new(&site);
    let page = browser.authorize(&[]).await;
    assert!(page.header("set-cookie").starts_with("__Host-perennial_csrf="), "{page:?}");
    assert!(page.header("set-cookie").contains("; Secure"));
    let form = [
        ("csrf", &*page.field("csrf")),
        ("request", &*page.field("request")),
        ("username", LOGIN),
        ("password", PASSWORD),
    ];
    let entered = browser.post_with("/sign-in", &form, &[("origin", "https://login.example")]).await;
    entered.location();
    let cookie = entered.header("set-cookie");
    assert!(
        cookie.starts_with("__Host-perennial_login=") && cookie.contains("; Secure; Max-Age=1209600"),
        "{cookie}"
    );
}

#[tokio::test]
async fn a_login_lasts_fourteen_days() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[]).await.code();
    age(&site, &browser, 13 * 86_400_000).await;
    browser.authorize(&[]).await.code();
    age(&site, &browser, 86_400_000).await;
    browser.authorize(&[]).await.is_page(200);
    browser.authorize(&[("prompt", "none")]).await.is_refused("login_required");
}

#[tokio::test]
async fn a_change_of_password_ends_every_login() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[]).await.code();
    site.service.accounts.set_password(&*site.store, LOGIN, "another long password").await.unwrap();
    let page = browser.authorize(&[]).await;
    page.is_page(200).shows("id=\"sign-in-form\"");
    browser.fill_in(&page, LOGIN, PASSWORD).await.is_page(422);
    browser.fill_in(&page, LOGIN, "another long password").await.location();
}

#[tokio::test]
async fn prompt_and_max_age_ask_again_and_a_sign_in_meets_them() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[]).await.code();
    age(&site, &browser, 10_000).await;
    browser.authorize(&[("max_age", "3600")]).await.code();
    browser.authorize(&[("max_age", "5"), ("prompt", "none")]).await.is_refused("login_required");
    browser.authorize(&[("prompt", "none")]).await.code();
    for changes in
        [[("max_age", "5")], [("max_age", "0")], [("prompt", "login")], [("prompt", "select_account")]]
    {
        age(&site, &browser, 10_000).await;
        let page = browser.authorize(&changes).await;
        page.is_page(200).shows("Confirm that it is you").shows("value=\"ada\"");
        let entered = browser.fill_in(&page, LOGIN, PASSWORD).await;
        let next = entered.location().to_owned();
        browser.get(&next).await.code();
    }
    let authenticated: Vec<UnixMillis> =
        site.sessions().await.iter().map(|(_, session)| session.grant.authenticated_at).collect();
    let newest = authenticated.iter().max().unwrap();
    assert!(site.service.clock.now().wall.0 - newest.0 < 10_000, "auth_time is that of the last sign-in");
}

#[tokio::test]
async fn a_session_is_born_with_the_moment_of_authentication_and_never_outlives_it() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[]).await.code();
    age(&site, &browser, 3_600_000).await;
    browser.authorize(&[]).await.code();
    // Two births of one millisecond have no order, so the moments are sorted.
    let grants: Vec<_> = site.sessions().await.into_iter().map(|(_, session)| session.grant).collect();
    let apart = |moment: fn(&perennial_core::session::Grant) -> UnixMillis| {
        grants.iter().map(|grant| moment(grant).0).max().unwrap()
            - grants.iter().map(|grant| moment(grant).0).min().unwrap()
    };
    assert_eq!(apart(|grant| grant.authenticated_at), 3_600_000);
    assert_eq!(apart(|grant| grant.absolute_at), 3_600_000);
}

#[tokio::test]
async fn a_hint_fills_the_name_in_and_an_id_token_hint_decides_who_may() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.authorize(&[("login_hint", "grace@example.org")]).await.shows("value=\"grace@example.org\"");
    browser.authorize(&[("login_hint", &"x".repeat(200))]).await.shows("value=\"\"");
    let id_token = |sub: &str| {
        let claims =
            serde_json::json!({ "iss": "http://localhost:8080", "sub": sub, "aud": "app", "exp": 1 });
        site.service.keys.sign("JWT", &claims).unwrap()
    };
    let (ada, other) = (id_token(site.subject.as_str()), id_token("somebody-else"));
    browser.sign_in(&[]).await.code();
    browser.authorize(&[("id_token_hint", &ada), ("prompt", "none")]).await.code();
    browser.authorize(&[("id_token_hint", &other), ("prompt", "none")]).await.is_refused("login_required");
    let page = browser.authorize(&[("id_token_hint", &other)]).await;
    browser.fill_in(page.is_page(200), LOGIN, PASSWORD).await.is_refused("login_required");
}

#[tokio::test]
async fn the_form_takes_no_request_that_authorize_would_not() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let page = browser.authorize(&[]).await;
    let csrf = page.field("csrf");
    for (request, status) in [
        ("", 400),
        ("client_id=nobody", 400),
        ("client_id=app&redirect_uri=https%3A%2F%2Fevil.example%2F", 400),
        ("client_id=app&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback", 303),
        ("//evil.example/", 400),
    ] {
        let form = [("csrf", &*csrf), ("request", request), ("username", LOGIN), ("password", PASSWORD)];
        let answer = browser.post("/sign-in", &form).await;
        assert_eq!(answer.status.as_u16(), status, "{request}");
        assert!(!answer.header("location").contains("evil"), "{answer:?}");
        assert!(!browser.cookies.contains_key(COOKIE), "{request}");
    }
    for path in ["/sign-in", "/consent"] {
        browser.get(path).await.is_page(404).shows("Start from your app");
    }
}
