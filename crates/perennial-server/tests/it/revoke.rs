//! `/revoke`.

use perennial_core::Generation;
use perennial_core::session::Jkt;
use perennial_core::session::State;

use crate::world::{Answer, DAY_MS, World};

async fn revoke(world: &World, client: &str, token: &str) -> Answer {
    world.post("/revoke", &[("token", token), ("client_id", client)], &[]).await
}

#[tokio::test]
async fn current_token_or_predecessor_ends_the_session() {
    for presented in [1, 2] {
        let world = World::new().await;
        let (sid, token) = world.signed_in("web").await;
        let successor = world.refresh("web", &token, &[]).await;
        let answer = revoke(&world, "web", &world.token_of(sid, presented).await).await;
        assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"));
        assert!(matches!(world.row(sid).await.hot.state, State::Ended { .. }));
        let after = world.refresh("web", successor.is_issued().text("refresh_token"), &[]).await;
        after.is_refused(400, "invalid_grant", "revoked", "reauthenticate", false);
    }
}

#[tokio::test]
async fn superseded_token_ends_nothing() {
    let world = World::new().await;
    let (sid, mut token) = world.signed_in("web").await;
    let old = token.clone();
    for _ in 0..3 {
        token = world.refresh("web", &token, &[]).await.is_issued().text("refresh_token").to_owned();
    }
    world.age(sid, DAY_MS).await;
    assert_eq!(revoke(&world, "web", &old).await.status, 200);
    world.refresh("web", &token, &[]).await.is_issued();
}

#[tokio::test]
async fn unknown_and_foreign_tokens_change_nothing_and_say_nothing() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    let born = world.consented("web").await;
    let before = world.row(sid).await;
    for (client, token) in [("web", "nonsense"), ("web", born.code.as_str()), ("other", token.as_str())] {
        let answer = revoke(&world, client, token).await;
        assert_eq!((answer.status.as_u16(), answer.body.is_null()), (200, true));
    }
    assert_eq!(world.row(sid).await, before);
}

#[tokio::test]
async fn bound_token_without_its_key_changes_nothing() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    world
        .alter(sid, |hot, grant| {
            hot.bound_from = Some(Generation(1));
            grant.bound_key = Some(Jkt([7; 32]));
        })
        .await;
    let before = world.row(sid).await;
    assert_eq!(revoke(&world, "web", &token).await.status, 200);
    let refused = world.refresh("web", &token, &[]).await;
    refused.is_refused(400, "invalid_grant", "binding", "reauthenticate", false);
    let told = world.post("/session", &[("refresh_token", &token), ("client_id", "web")], &[]).await;
    told.is_refused(400, "invalid_grant", "binding", "reauthenticate", false);
    assert_eq!(world.row(sid).await, before);
}

#[tokio::test]
async fn access_tokens_are_not_revoked_one_by_one() {
    let world = World::new().await;
    let (_, token) = world.signed_in("web").await;
    let answer = world.refresh("web", &token, &[]).await;
    let refused = revoke(&world, "web", answer.is_issued().text("access_token")).await;
    refused.is_refused(400, "unsupported_token_type", "token_type", "fix_client", false);
}

#[tokio::test]
async fn store_that_is_away_is_told() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    world.store.fail_write(perennial_store::StoreError::Full);
    let refused = revoke(&world, "web", &token).await;
    refused.is_refused(503, "temporarily_unavailable", "store_unavailable", "retry", true);
    assert_eq!(world.row(sid).await.hot.state, State::Active);
    assert_eq!(revoke(&world, "web", &token).await.status, 200);
}

#[tokio::test]
async fn revoking_needs_the_client_and_the_token() {
    let world = World::new().await;
    let without_client = world.post("/revoke", &[("token", "x")], &[]).await;
    without_client.is_refused(401, "invalid_client", "no_client", "fix_client", false);
    let without_token = world.post("/revoke", &[("client_id", "web")], &[]).await;
    without_token.is_refused(400, "invalid_request", "missing_parameter", "fix_client", false);
}
