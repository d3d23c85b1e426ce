//! A real Chromium signs in and shows the page.

use perennial_testkit::browser::{Browser, Screen};

use crate::site;

#[tokio::test]
async fn chromium_signs_in_and_takes_a_picture_of_each_screen() {
    let site = site::start().await;
    let browser = Browser::start().await.unwrap();
    let pictures = tempfile::tempdir().unwrap();
    browser.open(&format!("{site}/authorize")).await.unwrap();
    for (screen, size) in [(Screen::Phone, (780, 1688)), (Screen::Desktop, (1280, 900))] {
        let file = pictures.path().join(format!("{screen:?}.png"));
        browser.screenshot(screen, &file).await.unwrap();
        assert_eq!(png_size(&std::fs::read(file).unwrap()), size, "{screen:?}");
    }

    let callback = format!("{site}/callback");
    let answer =
        browser.sign_in(&format!("{site}/authorize"), "ada", "correct horse", &callback).await.unwrap();
    assert_eq!(answer.query(), Some("code=yes"));
    assert_eq!(browser.arrives_at(&callback).await.unwrap(), answer);
    browser.close().await.unwrap();
}

/// Width and height stand at fixed places in the first chunk of a PNG file.
fn png_size(file: &[u8]) -> (u32, u32) {
    let number = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}
