//! Consent: asked where a client must ask, remembered for what was agreed to, never for more.

use super::browser::Browser;
use super::site::Site;

const PARTNER: (&str, &str) = ("client_id", "partner");

#[tokio::test]
async fn a_person_is_asked_once_for_each_set_of_scopes() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let page = browser.sign_in(&[PARTNER]).await;
    page.is_page(200).shows("id=\"consent-form\"").shows("See your name").shows("Stay connected");
    page.shows("Ada Lovelace").shows("https:&#x2f;&#x2f;app.example");
    assert!(site.sessions().await.is_empty());
    browser.decide(&page, "allow").await.code();
    browser.authorize(&[PARTNER]).await.code();
    browser.authorize(&[PARTNER, ("scope", "openid")]).await.code();
    browser.authorize(&[PARTNER, ("prompt", "none")]).await.code();
    // More than was agreed to is asked for anew, and then both are remembered.
    let more = [PARTNER, ("scope", "openid notes")];
    browser.authorize(&[more[0], more[1], ("prompt", "none")]).await.is_refused("consent_required");
    let page = browser.authorize(&more).await;
    page.shows("<code>notes</code>");
    browser.decide(&page, "allow").await.code();
    browser.authorize(&[PARTNER, ("scope", "openid profile notes")]).await.code();
}

#[tokio::test]
async fn no_is_no_and_is_not_remembered() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let page = browser.sign_in(&[PARTNER]).await;
    let denied = browser.decide(&page, "deny").await;
    assert_eq!(denied.is_refused("access_denied").answer("state").as_deref(), Some("a state"));
    assert!(site.sessions().await.is_empty());
    browser.authorize(&[PARTNER, ("prompt", "none")]).await.is_refused("consent_required");
    let page = browser.authorize(&[PARTNER]).await;
    let undecided = browser.decide(&page, "perhaps").await;
    assert!(undecided.location().starts_with("/authorize?"), "{undecided:?}");
}

#[tokio::test]
async fn prompt_consent_asks_again_also_after_a_sign_in() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let page = browser.sign_in(&[PARTNER, ("prompt", "login consent")]).await;
    browser.decide(page.is_page(200), "allow").await.code();
    let page = browser.authorize(&[PARTNER, ("prompt", "consent")]).await;
    browser.decide(page.is_page(200), "allow").await.code();
    // Also where the client need not ask.
    let page = browser.authorize(&[("prompt", "consent")]).await;
    browser.decide(page.is_page(200).shows("Paper &amp; Ink"), "allow").await.code();
}

#[tokio::test]
async fn nobody_agrees_for_somebody_else() {
    let site = Site::new().await;
    site.add_account("grace", "a compiler, please").await;
    let mut browser = Browser::new(&site);
    let page_of_ada = browser.sign_in(&[PARTNER]).await;
    let page = browser.authorize(&[PARTNER, ("prompt", "select_account")]).await;
    let entered = browser.fill_in(&page, "grace", "a compiler, please").await;
    let page_of_grace = browser.get(entered.location()).await;
    page_of_grace.is_page(200).shows("grace");
    // The page that is still open in another tab asked ada.
    let answer = browser.decide(&page_of_ada, "allow").await;
    assert!(answer.location().starts_with("/authorize?"), "{answer:?}");
    assert!(site.sessions().await.is_empty());
    // A browser in which nobody is signed in signs in first.
    let mut other = Browser::new(&site);
    other.cookies.insert("perennial_csrf".to_owned(), browser.cookies["perennial_csrf"].clone());
    let answer = other.decide(&page_of_grace, "allow").await;
    assert!(answer.location().starts_with("/authorize?"), "{answer:?}");
}
