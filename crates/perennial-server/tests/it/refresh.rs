//! `/token` with refresh tokens.

use perennial_core::session::State;
use perennial_core::{Generation, ServiceMillis, UnixMillis};

use crate::world::{DAY_MS, MINUTE_MS, OTHER_RETRY_KEY, RETRY_KEY, World, claims};

#[tokio::test]
async fn lost_answer_replays_the_same_successor() {
    for lost_for_ms in [0, 90 * MINUTE_MS, 10 * DAY_MS] {
        let world = World::new().await;
        let (sid, token) = world.signed_in("web").await;
        let first = world.refresh("web", &token, &[("retry_key", RETRY_KEY)]).await;
        world.age(sid, lost_for_ms).await;
        let again = world.refresh("web", &token, &[("retry_key", RETRY_KEY)]).await;
        assert_eq!(first.is_issued().text("refresh_token"), again.is_issued().text("refresh_token"));
        assert_ne!(first.text("access_token"), again.text("access_token"));
        assert_eq!(world.row(sid).await.hot.generation, Generation(2));
    }
}

#[tokio::test]
async fn the_retry_key_may_come_as_a_header() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    let quoted = format!("\"{RETRY_KEY}\"");
    let form = [("grant_type", "refresh_token"), ("refresh_token", &token), ("client_id", "web")];
    let first = world.post("/token", &form, &[("Idempotency-Key", &quoted)]).await;
    world.age(sid, DAY_MS).await;
    let again = world.refresh("web", &token, &[("retry_key", RETRY_KEY)]).await;
    assert_eq!(first.is_issued().text("refresh_token"), again.is_issued().text("refresh_token"));
}

#[tokio::test]
async fn client_without_retry_keys_gets_its_lost_answer_for_a_while() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    let first = world.refresh("web", &token, &[]).await;
    world.age(sid, 5 * MINUTE_MS).await;
    let again = world.refresh("web", &token, &[]).await;
    assert_eq!(first.is_issued().text("refresh_token"), again.is_issued().text("refresh_token"));
    world.age(sid, 20 * MINUTE_MS).await;
    let late = world.refresh("web", &token, &[]).await;
    late.is_refused(409, "conflict", "superseded", "reload_credentials", true);
    assert_eq!(late.header("retry-after"), "1");
}

#[tokio::test]
async fn chain_of_fifty_refreshes_keeps_one_row() {
    let world = World::new().await;
    let (sid, mut token) = world.signed_in("web").await;
    let writes = world.store.writes();
    for _ in 0..50 {
        let answer = world.refresh("web", &token, &[]).await;
        let next = answer.is_issued().text("refresh_token").to_owned();
        assert_ne!(next, token);
        token = next;
    }
    assert_eq!(world.row(sid).await.hot.generation, Generation(51));
    assert_eq!(world.store.writes() - writes, 50);
}

#[tokio::test]
async fn narrower_scope_narrows_one_access_token_only() {
    let world = World::new().await;
    let (_, token) = world.signed_in("web").await;
    let narrow = world.refresh("web", &token, &[("scope", "notes")]).await;
    assert_eq!(narrow.is_issued().text("scope"), "notes");
    assert_eq!(claims(narrow.text("access_token"))["scope"], "notes");
    assert!(narrow.body.get("id_token").is_none());
    let whole = world.refresh("web", narrow.text("refresh_token"), &[]).await;
    assert_eq!(whole.is_issued().text("scope"), "openid profile email notes");
}

#[tokio::test]
async fn scope_beyond_the_grant_consumes_nothing() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    let before = world.row(sid).await;
    let refused = world.refresh("web", &token, &[("scope", "notes offline_access")]).await;
    refused.is_refused(400, "invalid_scope", "scope", "fix_client", false);
    assert_eq!(world.row(sid).await, before);
}

#[tokio::test]
async fn another_clients_token_leaves_its_owner_alone() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    let before = world.row(sid).await;
    let foreign = world.refresh("other", &token, &[]).await;
    foreign.is_refused(400, "invalid_grant", "unknown", "reauthenticate", false);
    assert_eq!(world.row(sid).await, before);
    world.refresh("web", &token, &[]).await.is_issued();
}

#[tokio::test]
async fn refreshed_id_token_keeps_who_and_when() {
    let world = World::new().await;
    let born = world.consented("web").await;
    let redeemed = world.redeem("web", &born.code, &[]).await;
    let first = claims(redeemed.is_issued().text("id_token"));
    let refreshed = world.refresh("web", redeemed.text("refresh_token"), &[]).await;
    let second = claims(refreshed.is_issued().text("id_token"));
    for member in ["iss", "sub", "aud", "auth_time", "sid", "acr"] {
        assert_eq!(first[member], second[member], "{member}");
    }
    assert_eq!(first["nonce"], "a-nonce");
    assert!(second.get("nonce").is_none());
    assert_eq!(claims(refreshed.text("access_token"))["auth_time"], first["auth_time"]);
}

#[tokio::test]
async fn strict_client_loses_its_session_by_a_late_retry_without_key() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("strict").await;
    let successor = world.refresh("strict", &token, &[]).await;
    world.age(sid, MINUTE_MS).await;
    let retried = world.refresh("strict", &token, &[]).await;
    retried.is_refused(400, "invalid_grant", "revoked", "reauthenticate", false);
    assert!(matches!(world.row(sid).await.hot.state, State::Ended { .. }));
    let owner = world.refresh("strict", successor.is_issued().text("refresh_token"), &[]).await;
    owner.is_refused(400, "invalid_grant", "revoked", "reauthenticate", false);
    assert!(owner.body["since"].is_u64());
    assert!(owner.body["continuity"].is_string());
}

#[tokio::test]
async fn strict_client_with_a_retry_key_loses_nothing() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("strict").await;
    let first = world.refresh("strict", &token, &[("retry_key", RETRY_KEY)]).await;
    world.age(sid, DAY_MS).await;
    let again = world.refresh("strict", &token, &[("retry_key", RETRY_KEY)]).await;
    assert_eq!(first.is_issued().text("refresh_token"), again.is_issued().text("refresh_token"));
}

#[tokio::test]
async fn superseded_token_with_its_own_retry_key_asks_to_reload() {
    let world = World::new().await;
    let (_, token) = world.signed_in("web").await;
    let second = world.refresh("web", &token, &[("retry_key", RETRY_KEY)]).await;
    let second = second.is_issued().text("refresh_token");
    world.refresh("web", second, &[("retry_key", OTHER_RETRY_KEY)]).await.is_issued();
    let late = world.refresh("web", &token, &[("retry_key", RETRY_KEY)]).await;
    late.is_refused(409, "conflict", "superseded", "reload_credentials", true);
}

#[tokio::test]
async fn expired_sessions_say_which_lifetime_and_since_when() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    world.age(sid, 15 * DAY_MS).await;
    let idle = world.refresh("web", &token, &[]).await;
    idle.is_refused(400, "invalid_grant", "expired_idle", "reauthenticate", false);
    assert!(idle.body["since"].as_u64().unwrap() < world.service.clock.now().wall.seconds());

    let (sid, token) = world.signed_in("web").await;
    world.alter(sid, |_, grant| grant.absolute_at = UnixMillis(1_000_000_000_000)).await;
    let absolute = world.refresh("web", &token, &[]).await;
    absolute.is_refused(400, "invalid_grant", "expired_absolute", "reauthenticate", false);
    assert_eq!(absolute.body["since"], 1_000_000_000);
}

#[tokio::test]
async fn contested_session_asks_the_user_and_keeps_the_token() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    let until = ServiceMillis(world.service.clock.now().service.0 + DAY_MS);
    world.alter(sid, |hot, _| hot.state = State::Contested { until }).await;
    let paused = world.refresh("web", &token, &[]).await;
    paused.is_refused(400, "invalid_grant", "contested", "confirm", false);
    assert!(paused.body["continuity"].is_string());
}

#[tokio::test]
async fn token_newer_than_the_row_goes_on_and_one_far_ahead_asks_for_a_step_up() {
    let world = World::new().await;
    let (sid, _) = world.signed_in("web").await;
    let ahead = world.token_of(sid, 5).await;
    world.refresh("web", &ahead, &[]).await.is_issued();
    assert_eq!(world.row(sid).await.hot.generation, Generation(6));
    let before = world.row(sid).await;
    let far_ahead = world.token_of(sid, 100).await;
    let refused = world.refresh("web", &far_ahead, &[]).await;
    refused.is_refused(400, "insufficient_user_authentication", "too_far_ahead", "step_up", true);
    assert!(
        refused
            .text("step_up_uri")
            .starts_with("http://localhost:8080/authorize?response_type=code&client_id=web&")
    );
    assert_eq!(refused.body["max_age"], 0);
    assert_eq!(world.row(sid).await, before);
}

#[tokio::test]
async fn confidential_client_is_its_own_proof() {
    let world = World::new().await;
    let secret = ("client_secret", crate::world::BACK_END_SECRET);
    let born = world.consented("back end").await;
    let redeemed = world.redeem("back end", &born.code, &[secret]).await;
    let token = redeemed.is_issued().text("refresh_token");
    let first = world.refresh("back end", token, &[secret]).await;
    world.age(born.sid, 10 * DAY_MS).await;
    let again = world.refresh("back end", token, &[secret]).await;
    assert_eq!(first.is_issued().text("refresh_token"), again.is_issued().text("refresh_token"));
    assert_eq!(claims(again.text("access_token"))["aud"], "https://api.example");

    let before = world.row(born.sid).await;
    let unauthenticated = world.refresh("back end", again.text("refresh_token"), &[]).await;
    unauthenticated.is_refused(401, "invalid_client", "client_authentication", "fix_client", false);
    assert_eq!(world.row(born.sid).await, before);
}

#[tokio::test]
async fn thief_who_follows_the_owner_is_paused_within_four_alternations() {
    let world = World::new().await;
    let (_, mut token) = world.signed_in("web").await;
    for _ in 0..3 {
        token = world.refresh("web", &token, &[]).await.is_issued().text("refresh_token").to_owned();
    }
    for alternation in 1.. {
        assert!(alternation <= 4, "nobody was paused");
        let owner = world.refresh("web", &token, &[]).await;
        let next = owner.is_issued().text("refresh_token").to_owned();
        let addr = "198.51.100.7".parse().unwrap();
        let thief = world.refresh_from(addr, "curl/8.5.0 (linux)", "web", &token).await;
        if thief.status != 200 {
            thief.is_refused(400, "invalid_grant", "contested", "confirm", false);
            let paused = world.refresh("web", &next, &[]).await;
            paused.is_refused(400, "invalid_grant", "contested", "confirm", false);
            break;
        }
        assert_eq!(thief.text("refresh_token"), next);
        token = next;
    }
}

#[tokio::test]
async fn stranger_with_an_old_token_cannot_pause_the_owner() {
    let world = World::new().await;
    let (sid, mut token) = world.signed_in("web").await;
    let leaked = token.clone();
    for _ in 0..5 {
        token = world.refresh("web", &token, &[]).await.is_issued().text("refresh_token").to_owned();
    }
    world.age(sid, 20 * MINUTE_MS).await;
    for _ in 0..20 {
        let stranger = "198.51.100.7".parse().unwrap();
        let refused = world.refresh_from(stranger, "curl/8.5.0 (linux)", "web", &leaked).await;
        refused.is_refused(400, "invalid_grant", "superseded", "reauthenticate", false);
    }
    assert_eq!(world.row(sid).await.hot.evidence, 0);
    world.refresh("web", &token, &[]).await.is_issued();
}
