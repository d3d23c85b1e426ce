//! When the store is away, people are told so and lose nothing.

use perennial_store::StoreError;

use super::browser::Browser;
use super::site::Site;

fn away() -> StoreError {
    StoreError::Unavailable("unplugged".to_owned())
}

#[tokio::test]
async fn a_store_that_is_away_is_a_page_with_a_way_on() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[]).await.code();
    site.store.fail_write(away());
    let page = browser.authorize(&[]).await;
    page.is_page(503).shows("One moment, please").shows("Try again").shows_no("unplugged");
    assert_eq!(page.header("retry-after"), "5");
    assert_eq!(page.header("location"), "");
    // The button asks the same once more.
    let start = page.body.find("id=\"continue\" href=\"").unwrap() + 20;
    let again = page.body[start..].split('"').next().unwrap().replace("&#x2f;", "/").replace("&amp;", "&");
    assert_eq!(browser.get(&again).await.answer("state").as_deref(), Some("a state"));
    assert_eq!(site.sessions().await.len(), 2);
}

#[tokio::test]
async fn where_nothing_may_be_shown_the_client_is_told() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&[]).await.code();
    site.store.fail_write(away());
    browser.authorize(&[("prompt", "none")]).await.is_refused("temporarily_unavailable");
    let damaged = StoreError::Damaged { what: "a row".to_owned(), why: "a flipped bit".to_owned() };
    site.store.fail_write(damaged);
    browser.authorize(&[("prompt", "none")]).await.is_refused("server_error");
}

#[tokio::test]
async fn an_id_that_is_taken_is_drawn_again() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    site.store.fail_write(StoreError::SidTaken);
    browser.sign_in(&[]).await.code();
    assert_eq!(site.sessions().await.len(), 1);
}
