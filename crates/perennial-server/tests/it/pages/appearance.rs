//! How pages are served: headers, stylesheet, errors that explain themselves, and no page without its policy.

use super::browser::Browser;
use super::site::Site;

const CODES: [&str; 26] = [
    "temporarily_unavailable",
    "slow_down",
    "invalid_dpop_proof",
    "use_dpop_nonce",
    "insufficient_user_authentication",
    "authorization_pending",
    "expired_token",
    "access_denied",
    "conflict",
    "invalid_grant",
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_request",
    "invalid_target",
    "invalid_token",
    "insufficient_scope",
    "unsupported_token_type",
    "unsupported_response_type",
    "login_required",
    "consent_required",
    "request_not_supported",
    "request_uri_not_supported",
    "registration_not_supported",
    "server_error",
];

#[tokio::test]
async fn every_page_renders_under_its_policy() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let sign_in = browser.authorize(&[]).await;
    let consent = browser.sign_in(&[("client_id", "partner")]).await;
    let mut pages = vec![
        (sign_in, "id=\"sign-in\""),
        (consent, "id=\"consent-allow\""),
        (browser.get("/logout").await, "id=\"sign-out\""),
        (Browser::new(&site).get("/logout").await, "id=\"signed-out\""),
        (browser.get("/nowhere").await, "There is no such page"),
        (browser.get("/errors/nothing").await, "There is no such page"),
        (browser.authorize(&[("client_id", "")]).await, "id=\"error\""),
        (browser.get("/").await, "/.well-known/openid-configuration"),
    ];
    for code in CODES {
        pages.push((browser.get(&format!("/errors/{code}")).await, code));
    }
    for (page, shows) in pages {
        page.shows(shows)
            .shows("<!doctype html>")
            .shows("lang=\"en\"")
            .shows_no("<script")
            .shows_no("style=");
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'"));
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(policy.contains("form-action 'none'"), !page.body.contains("<form"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("referrer-policy"), "same-origin");
    }
}

#[tokio::test]
async fn the_stylesheet_is_named_by_its_content_and_kept_for_good() {
    let site = Site::new().await;
    let mut browser = Browser::new(&site);
    let page = browser.get("/").await;
    for (start, media) in
        [("/assets/perennial-", "text/css; charset=utf-8"), ("/assets/leaf-", "image/svg+xml")]
    {
        let escaped = start.replace('/', "&#x2f;");
        let at = page.body.find(&escaped).unwrap_or_else(|| panic!("no {escaped} in {}", page.body));
        let path = page.body[at..].split('"').next().unwrap().replace("&#x2f;", "/");
        let asset = browser.get(&path).await;
        assert_eq!(asset.status.as_u16(), 200, "{path}");
        assert_eq!(asset.header("content-type"), media);
        assert_eq!(asset.header("cache-control"), "public, max-age=31536000, immutable");
    }
    assert_eq!(browser.get("/assets/perennial-0000.css").await.status.as_u16(), 404);
    assert_eq!(browser.get("/assets/..%2f..%2fCargo.toml").await.status.as_u16(), 404);
}

#[tokio::test]
async fn an_issuer_with_a_path_keeps_it_in_every_address() {
    let site = Site::at("https://example.org/auth").await;
    let mut browser = Browser::new(&site);
    let page = browser.authorize(&[]).await;
    page.shows("action=\"&#x2f;auth/sign-in\"").shows("href=\"&#x2f;auth&#x2f;assets&#x2f;perennial-");
}
