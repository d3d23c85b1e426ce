//! The cookie-keeping client signs in as a person does.

use perennial_testkit::http::{CookieClient, HttpError};
use reqwest::StatusCode;
use url::Url;

use crate::site;

#[tokio::test]
async fn signing_in_leads_through_consent_to_the_callback() {
    let site = site::start().await;
    let mut client = CookieClient::new();
    let (request, callback) = (format!("{site}/authorize"), format!("{site}/callback"));
    let answer = client.sign_in(&request, "ada", "correct horse", &callback).await.unwrap();
    assert_eq!(answer.as_str(), format!("{callback}?code=yes"));
    assert_eq!(client.cookie(&Url::parse(&site).unwrap(), "session"), Some("ada"));
}

#[tokio::test]
async fn a_wrong_password_ends_at_the_page_that_says_so() {
    let site = site::start().await;
    let request = format!("{site}/authorize");
    let callback = format!("{site}/callback");
    match CookieClient::new().sign_in(&request, "ada", "wrong", &callback).await {
        Err(HttpError::Stranded { page, .. }) => assert!(page.has("sign-in")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_form_sends_what_a_browser_would_send() {
    let site = site::start().await;
    let mut client = CookieClient::new();
    let page = client.open(&format!("{site}/authorize?login_hint=ada"), "").await.unwrap().page();
    let form = page.form("sign-in-form").unwrap();
    assert!(matches!(form.clone().fill("nowhere", "x"), Err(HttpError::NoField { .. })));
    assert!(matches!(page.form("not-this"), Err(HttpError::NoForm { .. })));

    let wrong_button = client.submit(&form, Some("other"), "").await.unwrap().page();
    assert_eq!(wrong_button.status, StatusCode::BAD_REQUEST);
    let form = form.fill("secret", "correct horse").unwrap();
    let consent = client.submit(&form, None, "").await.unwrap().page();
    assert!(consent.has("consent-allow"), "{consent}");
}
