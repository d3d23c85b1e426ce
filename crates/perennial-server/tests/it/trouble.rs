//! The store's trouble is never the client's: 503, and nothing consumed.

use axum::body::Body;
use http::Request;
use perennial_core::session::token::{KeyRing, ServerKey, TokenKind};
use perennial_core::{Generation, SessionId, UnixMillis};
use perennial_store::StoreError;

use crate::world::{RETRY_KEY, World, rand};

fn troubles() -> [(StoreError, &'static str); 4] {
    [
        (StoreError::Unavailable("gone".to_owned()), "store_unavailable"),
        (StoreError::Full, "store_unavailable"),
        (StoreError::Closed, "store_unavailable"),
        (StoreError::Overloaded, "overloaded"),
    ]
}

#[tokio::test]
async fn failed_read_or_write_is_retryable_and_consumes_nothing() {
    for (error, reason) in troubles() {
        let world = World::new().await;
        let (sid, token) = world.signed_in("web").await;
        let before = world.row(sid).await;
        world.store.fail_read(error);
        let refused = world.refresh("web", &token, &[]).await;
        refused.is_refused(503, "temporarily_unavailable", reason, "retry", true);
        assert!(!refused.header("retry-after").is_empty());
        assert_eq!(world.row(sid).await, before);
    }
    for (error, reason) in troubles() {
        let world = World::new().await;
        let (sid, token) = world.signed_in("web").await;
        let before = world.row(sid).await;
        world.store.fail_write(error);
        let refused = world.refresh("web", &token, &[]).await;
        refused.is_refused(503, "temporarily_unavailable", reason, "retry", true);
        assert_eq!(world.row(sid).await, before);
        world.refresh("web", &token, &[]).await.is_issued();
    }
}

#[tokio::test]
async fn write_whose_answer_is_lost_replays() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    world.store.lose_answer();
    let refused = world.refresh("web", &token, &[("retry_key", RETRY_KEY)]).await;
    refused.is_refused(503, "temporarily_unavailable", "store_unavailable", "retry", true);
    let again = world.refresh("web", &token, &[("retry_key", RETRY_KEY)]).await;
    assert_eq!(again.is_issued().text("refresh_token"), world.token_of(sid, 2).await);
}

#[tokio::test]
async fn damaged_row_is_no_reason_to_try_again() {
    let world = World::new().await;
    let (_, token) = world.signed_in("web").await;
    let damaged = || StoreError::Damaged { what: "the row".to_owned(), why: "its checksum".to_owned() };
    world.store.fail_read(damaged());
    let refused = world.refresh("web", &token, &[]).await;
    refused.is_refused(500, "server_error", "damaged", "reauthenticate", false);
    world.store.fail_read(damaged());
    let revoked = world.post("/revoke", &[("token", &token), ("client_id", "web")], &[]).await;
    revoked.is_refused(500, "server_error", "damaged", "reauthenticate", false);
}

#[tokio::test]
async fn token_of_a_newer_server_key_is_ours_to_read_again() {
    let world = World::new().await;
    let (sid, _) = world.signed_in("web").await;
    let newer = KeyRing::new(ServerKey { id: 9, secret: [9; 32] }, vec![]);
    let token = newer.mint(TokenKind::Refresh, &world.row(sid).await.grant.secret, sid, Generation(1));
    let refused = world.refresh("web", &token, &[]).await;
    refused.is_refused(503, "temporarily_unavailable", "key_not_yet_known", "retry", true);
    let revoked = world.post("/revoke", &[("token", &token), ("client_id", "web")], &[]).await;
    revoked.is_refused(503, "temporarily_unavailable", "key_not_yet_known", "retry", true);
}

#[tokio::test]
async fn genuine_token_of_a_missing_row_is_unknown() {
    let world = World::new().await;
    let sid = SessionId::new(UnixMillis(1), rand());
    let secret = perennial_core::session::SessionSecret(rand());
    let token = world.service.keys.ring().mint(TokenKind::Refresh, &secret, sid, Generation(1));
    let refused = world.refresh("web", &token, &[]).await;
    refused.is_refused(400, "invalid_grant", "unknown", "reauthenticate", false);
}

#[tokio::test]
async fn forged_tokens_never_reach_the_store() {
    let world = World::new().await;
    let (_, token) = world.signed_in("web").await;
    world.store.fail_read(StoreError::Full);
    let mut forged = token.clone();
    forged.replace_range(20..21, if &token[20..21] == "A" { "B" } else { "A" });
    let refused = world.refresh("web", &forged, &[]).await;
    refused.is_refused(400, "invalid_grant", "unknown", "reauthenticate", false);
    // The failure that was laid out is still there: nobody has asked the store.
    assert_eq!(world.refresh("web", &token, &[]).await.status, 503);
}

#[tokio::test]
async fn body_that_breaks_off_is_the_clients_trouble() {
    let world = World::new().await;
    let broken = futures_util::stream::iter([
        Ok(bytes::Bytes::from_static(b"grant_type=refresh_token&refresh")),
        Err(std::io::Error::other("the connection broke")),
    ]);
    let request = Request::post("/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from_stream(broken))
        .unwrap();
    world.send(request).await.is_refused(400, "invalid_request", "incomplete", "fix_client", false);
}
