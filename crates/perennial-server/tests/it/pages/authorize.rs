//! `/authorize`: what it takes, what it refuses, and where it never sends anybody.

use axum::body::Body;
use http::{Request, StatusCode};
use perennial_core::Generation;

use super::browser::{Browser, authorize};
use super::site::{CHALLENGE, REDIRECT_URI, Site, VERIFIER};

#[tokio::test]
async fn a_person_signs_in_and_the_code_becomes_tokens() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let page = browser.authorize(&[]).await;
    page.is_page(200).shows("Paper &amp; Ink").shows("id=\"sign-in-form\"").shows("name=\"username\"");
    let redirect = browser.sign_in(&[]).await;
    let code = redirect.code();
    assert_eq!(redirect.answer("state").as_deref(), Some("a state"));
    assert_eq!(redirect.answer("iss").as_deref(), Some("http://localhost:8080"));
    let sessions = site.sessions().await;
    let [(_, session)] = sessions.as_slice() else { panic!("one session: {sessions:?}") };
    assert_eq!(session.hot.generation, Generation(0));
    assert_eq!(session.grant.subject, site.subject);
    assert_eq!(session.grant.scopes.as_str(), "openid profile offline_access");
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
        ("client_id", "app"),
    ];
    let tokens = browser.post_with("/token", &form, &[]).await;
    assert_eq!(tokens.status, StatusCode::OK, "{tokens:?}");
    tokens.shows("prn_rt_").shows("id_token");
}

#[tokio::test]
async fn whoever_is_signed_in_gets_a_code_at_once_and_another_session_each_time() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let first = browser.sign_in(&[]).await.code();
    let second = browser.authorize(&[]).await.code();
    assert_ne!(first, second);
    assert_eq!(site.sessions().await.len(), 2);
}

#[tokio::test]
async fn without_a_known_client_and_address_nobody_is_sent_anywhere() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[]).await.code();
    let long = "x".repeat(9000);
    for changes in [
        &[("client_id", "")][..],
        &[("client_id", "nobody")],
        &[("client_id", "off")],
        &[("client_id", "app\0")],
        &[("redirect_uri", "https://evil.example/")],
        &[("redirect_uri", "https://app.example/callback/")],
        &[("redirect_uri", "https://app.example/callback?x=1")],
        &[("redirect_uri", "https://app.example/callback#x")],
        &[("redirect_uri", "https://app.example:443/callback")],
        &[("redirect_uri", "https://app.example@evil.example/callback")],
        &[("redirect_uri", "https://app.example.evil.example/callback")],
        &[("redirect_uri", "HTTPS://app.example/callback")],
        &[("redirect_uri", "//app.example/callback")],
        &[("redirect_uri", "https://app.example/%63allback")],
        &[("redirect_uri", "https://app.example/x/../callback")],
        &[("redirect_uri", "javascript:alert(1)")],
        &[("redirect_uri", "https://app.example/callback\r\nset-cookie: a=b")],
        &[("redirect_uri", "http://127.0.0.1:1/callback")],
        &[("client_id", "native"), ("redirect_uri", "http://localhost:1/callback")],
        &[("client_id", "native"), ("redirect_uri", "http://127.0.0.1:99999/callback")],
        &[("client_id", "native"), ("redirect_uri", "")],
        &[("state", &long)],
    ] {
        // Neither with a page to show nor without.
        for prompt in ["", "none"] {
            let mut changes = changes.to_vec();
            changes.push(("prompt", prompt));
            let answer = browser.authorize(&changes).await;
            answer.is_page(400).shows("id=\"error\"").shows("invalid_request");
            assert_eq!(answer.header("location"), "", "{changes:?}");
        }
    }
    for twice in ["&client_id=app", "&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback"] {
        let answer = browser.get(&format!("{}{twice}", authorize(&[]))).await;
        answer.is_page(400);
        assert_eq!(answer.header("location"), "");
    }
    assert_eq!(site.sessions().await.len(), 1);
}

#[tokio::test]
async fn every_other_fault_goes_back_to_the_client_with_state_and_issuer() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    for (changes, error) in [
        (&[("response_type", "")][..], "invalid_request"),
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("response_type", "code id_token")], "unsupported_response_type"),
        (&[("response_mode", "form_post")], "invalid_request"),
        (&[("response_mode", "fragment")], "invalid_request"),
        (&[("code_challenge", "")], "invalid_request"),
        (&[("code_challenge_method", "")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge", &CHALLENGE[1..])], "invalid_request"),
        (&[("code_challenge", "+70ixSDfoBEDrDZV-0YABusoh_Ajp_a66XlJlwBHynw")], "invalid_request"),
        (&[("scope", "openid admin")], "invalid_scope"),
        (&[("scope", "open\"id")], "invalid_scope"),
        (&[("prompt", "none login")], "invalid_request"),
        (&[("prompt", "sometimes")], "invalid_request"),
        (&[("max_age", "-1")], "invalid_request"),
        (&[("max_age", "+1")], "invalid_request"),
        (&[("max_age", "1.5")], "invalid_request"),
        (&[("max_age", "99999999999999999999999")], "invalid_request"),
        (&[("nonce", "a\nb")], "invalid_request"),
        (&[("request", "eyJhbGciOiJub25lIn0..")], "request_not_supported"),
        (&[("request_uri", "https://app.example/request")], "request_uri_not_supported"),
        (&[("registration", "{}")], "registration_not_supported"),
        (&[("id_token_hint", "not.a.token")], "invalid_request"),
        (&[("client_id", "service")], "unauthorized_client"),
        (&[("prompt", "none")], "login_required"),
    ] {
        let answer = browser.authorize(changes).await;
        answer.is_refused(error);
        assert_eq!(answer.answer("state").as_deref(), Some("a state"), "{changes:?}");
    }
    for twice in
        ["state=b", "scope=openid", "response_type=code", "code_challenge_method=S256", "prompt=login"]
    {
        let prompt = if twice.starts_with("prompt") { "login" } else { "" };
        let answer = browser.get(&format!("{}&{twice}", authorize(&[("prompt", prompt)]))).await;
        answer.is_refused("invalid_request");
    }
    assert!(site.sessions().await.is_empty());
}

#[tokio::test]
async fn a_state_that_cannot_be_echoed_is_refused_and_not_echoed() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    for state in ["a\r\nset-cookie: b=c", "ä", &"x".repeat(2049)] {
        let answer = browser.authorize(&[("state", state)]).await;
        answer.is_refused("invalid_request");
        assert_eq!(answer.answer("state"), None);
        assert_eq!(answer.header("set-cookie"), "");
    }
    let odd = "a&iss=https://evil.example#?\"<>'";
    let answer = browser.authorize(&[("state", odd), ("prompt", "none")]).await;
    assert_eq!(answer.is_refused("login_required").answer("state").as_deref(), Some(odd));
    assert_eq!(answer.answer("iss").as_deref(), Some("http://localhost:8080"));
}

#[tokio::test]
async fn unknown_parameters_and_empty_ones_are_ignored() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[]).await.code();
    let more = "&ui_locales=de&acr_values=x&display=page&claims=%7B%7D&a=1&a=2&prompt=&max_age=";
    browser.get(&format!("{}{more}", authorize(&[]))).await.code();
}

#[tokio::test]
async fn a_redirect_uri_keeps_its_own_query_and_may_be_left_out_where_there_is_one() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[]).await.code();
    let tenant = [("client_id", "tenant"), ("redirect_uri", "https://app.example/callback?tenant=1")];
    let answer = browser.authorize(&tenant).await;
    assert!(
        answer.location().starts_with("https://app.example/callback?tenant=1&code=prn_ac_"),
        "{answer:?}"
    );
    browser.authorize(&[("redirect_uri", "")]).await.code();
    for redirect_uri in
        ["http://127.0.0.1:4711/callback", "http://[::1]:1/callback", "com.example.app:/callback"]
    {
        let answer = browser.authorize(&[("client_id", "native"), ("redirect_uri", redirect_uri)]).await;
        assert!(answer.location().starts_with(&format!("{redirect_uri}?code=prn_ac_")), "{answer:?}");
    }
}

#[tokio::test]
async fn a_redirect_uri_is_named_again_exactly_where_it_was_named() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let named = browser.sign_in(&[]).await.code();
    let left_out = browser.authorize(&[("redirect_uri", "")]).await.code();
    for (code, redirect_uri, status) in [
        (&named, None, 400),
        (&left_out, Some("https://evil.example/"), 400),
        (&named, Some(REDIRECT_URI), 200),
        (&left_out, None, 200),
    ] {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("client_id", "app"),
        ];
        form.extend(redirect_uri.map(|uri| ("redirect_uri", uri)));
        let answer = browser.post_with("/token", &form, &[]).await;
        assert_eq!(answer.status.as_u16(), status, "{redirect_uri:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_request_by_post_goes_on_as_a_get_with_the_same_parameters() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[]).await.code();
    let query = authorize(&[]);
    let (_, query) = query.split_once('?').unwrap();
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let form: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
    // From another site, as clients do.
    let answer = browser.post_with("/authorize", &form, &[("sec-fetch-site", "cross-site")]).await;
    let next = answer.location().to_owned();
    browser.get(&next).await.code();
}

#[tokio::test]
async fn without_scope_the_client_gets_what_it_is_registered_for_but_no_identity() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[("scope", "")]).await.code();
    let sessions = site.sessions().await;
    assert_eq!(sessions[0].1.grant.scopes.as_str(), "profile email notes");
}

#[tokio::test]
async fn offline_access_is_ignored_where_no_refresh_token_comes_of_it() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[("client_id", "short")]).await.code();
    let sessions = site.sessions().await;
    assert_eq!(sessions[0].1.grant.scopes.as_str(), "openid profile");
}

#[tokio::test]
async fn a_form_in_another_format_or_size_is_a_clear_page() {
    let site = Site::new().await;
    for path in ["/authorize", "/sign-in", "/consent", "/logout"] {
        let json =
            Request::post(path).header("content-type", "application/json").body(Body::from("{}")).unwrap();
        site.send("192.0.2.1", json).await.is_page(415);
        let huge = Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(format!("a={}", "x".repeat(70_000))))
            .unwrap();
        site.send("192.0.2.1", huge).await.is_page(413);
        let many = Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(Body::from("a=b&".repeat(100)))
            .unwrap();
        site.send("192.0.2.1", many).await.is_page(413);
    }
}
