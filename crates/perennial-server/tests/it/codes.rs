//! `/token` with authorization codes.

use perennial_core::Generation;
use perennial_core::session::State;

use crate::world::{MINUTE_MS, OTHER_RETRY_KEY, REDIRECT_URI, RETRY_KEY, VERIFIER, World, claims};

#[tokio::test]
async fn code_used_twice_ends_the_session() {
    let world = World::new().await;
    let born = world.consented("web").await;
    let first = world.redeem("web", &born.code, &[]).await;
    let second = world.redeem("web", &born.code, &[]).await;
    second.is_refused(400, "invalid_grant", "revoked", "reauthenticate", false);
    assert!(matches!(world.row(born.sid).await.hot.state, State::Ended { .. }));
    let refresh = world.refresh("web", first.is_issued().text("refresh_token"), &[]).await;
    refresh.is_refused(400, "invalid_grant", "revoked", "reauthenticate", false);
}

#[tokio::test]
async fn code_used_twice_with_its_retry_key_gets_the_lost_answer() {
    let world = World::new().await;
    let born = world.consented("web").await;
    let first = world.redeem("web", &born.code, &[("retry_key", RETRY_KEY)]).await;
    let again = world.redeem("web", &born.code, &[("retry_key", RETRY_KEY)]).await;
    assert_eq!(first.is_issued().text("refresh_token"), again.is_issued().text("refresh_token"));
    assert_eq!(claims(again.text("id_token"))["nonce"], "a-nonce");
    let stranger = world.redeem("web", &born.code, &[("retry_key", OTHER_RETRY_KEY)]).await;
    stranger.is_refused(400, "invalid_grant", "revoked", "reauthenticate", false);
}

#[tokio::test]
async fn code_used_at_the_same_moment_gives_tokens_at_most_once() {
    let world = World::new().await;
    let born = world.consented("web").await;
    world.store.hold_readers(2);
    let (one, other) =
        tokio::join!(world.redeem("web", &born.code, &[]), world.redeem("web", &born.code, &[]),);
    let issued = [one, other].iter().filter(|answer| answer.status.is_success()).count();
    assert_eq!(issued, 1);
    assert!(matches!(world.row(born.sid).await.hot.state, State::Ended { .. }));
}

#[tokio::test]
async fn code_used_at_the_same_moment_with_one_retry_key_gives_one_successor() {
    let world = World::new().await;
    let born = world.consented("web").await;
    world.store.hold_readers(2);
    let key = [("retry_key", RETRY_KEY)];
    let (one, other) =
        tokio::join!(world.redeem("web", &born.code, &key), world.redeem("web", &born.code, &key));
    assert_eq!(one.is_issued().text("refresh_token"), other.is_issued().text("refresh_token"));
    assert_eq!(world.row(born.sid).await.hot.generation, Generation(1));
}

#[tokio::test]
async fn wrong_client_uri_or_verifier_consumes_nothing() {
    let world = World::new().await;
    let born = world.consented("web").await;
    let with = |redirect_uri: &'static str, verifier: &'static str, client: &'static str| {
        let code = born.code.clone();
        let world = &world;
        async move {
            let form = [
                ("grant_type", "authorization_code"),
                ("code", code.as_str()),
                ("redirect_uri", redirect_uri),
                ("code_verifier", verifier),
                ("client_id", client),
            ];
            world.post("/token", &form, &[]).await
        }
    };
    let other_verifier = "another-verifier-of-at-least-forty-three-chars-01";
    for (redirect_uri, verifier, client, status, error, reason) in [
        ("http://localhost:9000/elsewhere", VERIFIER, "web", 400, "invalid_grant", "redirect_uri"),
        ("", VERIFIER, "web", 400, "invalid_request", "missing_parameter"),
        (REDIRECT_URI, other_verifier, "web", 400, "invalid_grant", "code_verifier"),
        (REDIRECT_URI, "too-short", "web", 400, "invalid_grant", "code_verifier"),
        (REDIRECT_URI, "", "web", 400, "invalid_request", "missing_parameter"),
        (REDIRECT_URI, VERIFIER, "other", 400, "invalid_grant", "unknown"),
    ] {
        let refused = with(redirect_uri, verifier, client).await;
        let action = if error == "invalid_grant" { "reauthenticate" } else { "fix_client" };
        refused.is_refused(status, error, reason, action, false);
    }
    world.redeem("web", &born.code, &[]).await.is_issued();
}

#[tokio::test]
async fn code_is_redeemed_in_time_or_not_at_all() {
    let world = World::new().await;
    let born = world.consented("web").await;
    world.age(born.sid, 2 * MINUTE_MS).await;
    let late = world.redeem("web", &born.code, &[]).await;
    late.is_refused(400, "invalid_grant", "expired_idle", "reauthenticate", false);
}

#[tokio::test]
async fn code_is_no_refresh_token_and_the_other_way_round() {
    let world = World::new().await;
    let born = world.consented("web").await;
    let as_token = world.refresh("web", &born.code, &[]).await;
    as_token.is_refused(400, "invalid_grant", "unknown", "reauthenticate", false);
    let token = world.token_of(born.sid, 0).await;
    let as_code = world.redeem("web", &token, &[]).await;
    as_code.is_refused(400, "invalid_grant", "unknown", "reauthenticate", false);
}

#[tokio::test]
async fn without_openid_there_is_no_id_token() {
    let world = World::new().await;
    let born = world.consented_to("web", "notes").await;
    let answer = world.redeem("web", &born.code, &[]).await;
    assert!(answer.is_issued().body.get("id_token").is_none());
}
