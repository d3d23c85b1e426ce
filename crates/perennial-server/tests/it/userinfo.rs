//! `/userinfo`.

use perennial_core::session::State;
use perennial_core::{ServiceMillis, UnixMillis};
use serde_json::json;

use crate::world::{Answer, DAY_MS, World};

async fn access_token(world: &World, scopes: &str) -> (perennial_core::SessionId, String) {
    let born = world.consented_to("web", scopes).await;
    let answer = world.redeem("web", &born.code, &[]).await;
    (born.sid, answer.is_issued().text("access_token").to_owned())
}

async fn ask(world: &World, token: &str) -> Answer {
    world.get("/userinfo", &[("Authorization", &format!("Bearer {token}"))]).await
}

#[tokio::test]
async fn claims_go_as_far_as_the_scopes() {
    let world = World::new().await;
    let sub = world.subject.as_str().to_owned();
    for (scopes, expected) in [
        ("openid", json!({ "sub": sub })),
        ("openid profile", json!({ "sub": sub, "name": "Ada Lovelace", "preferred_username": "ada" })),
        ("openid email", json!({ "sub": sub, "email": "ada@example.org" })),
    ] {
        let (_, token) = access_token(&world, scopes).await;
        assert_eq!(ask(&world, &token).await.is_issued().body, expected);
        let posted = world.post("/userinfo", &[("access_token", &token)], &[]).await;
        assert_eq!(posted.is_issued().body, expected);
        let header = format!("bearer {token}");
        let by_post = world.ask(http::Method::POST, "/userinfo", &[("Authorization", &header)]).await;
        assert_eq!(by_post.is_issued().body, expected);
    }
}

#[tokio::test]
async fn without_openid_the_scope_is_named() {
    let world = World::new().await;
    let (_, token) = access_token(&world, "profile").await;
    let refused = ask(&world, &token).await;
    refused.is_refused(403, "insufficient_scope", "scope", "fix_client", false);
    assert!(refused.header("www-authenticate").contains("scope=\"openid\""));
}

#[tokio::test]
async fn session_that_is_over_or_paused_answers_no_more() {
    let world = World::new().await;
    let until = ServiceMillis(world.service.clock.now().service.0 + DAY_MS);
    let ended = State::Ended { cause: perennial_core::session::EndCause::Logout, at: UnixMillis(1) };
    for state in [ended, State::Contested { until }] {
        let (sid, token) = access_token(&world, "openid").await;
        world.alter(sid, |hot, _| hot.state = state).await;
        let refused = ask(&world, &token).await;
        refused.is_refused(401, "invalid_token", "revoked", "reauthenticate", false);
        assert!(
            refused
                .header("www-authenticate")
                .starts_with("Bearer realm=\"perennial\", error=\"invalid_token\"")
        );
    }
}

#[tokio::test]
async fn tokens_that_are_none_are_refused_as_rfc_6750_says() {
    let world = World::new().await;
    let none = world.get("/userinfo", &[]).await;
    none.is_refused(401, "invalid_token", "missing", "reauthenticate", false);
    assert_eq!(none.header("www-authenticate"), "Bearer realm=\"perennial\"");

    let (_, token) = access_token(&world, "openid").await;
    let mut forged = token.clone();
    let last = forged.pop().unwrap();
    forged.push(if last == 'A' { 'Q' } else { 'A' });
    for wrong in ["nonsense", "a.b.c", forged.as_str()] {
        ask(&world, wrong).await.is_refused(401, "invalid_token", "unknown", "reauthenticate", false);
    }
    let header = format!("Bearer {token}");
    let twice =
        world.post("/userinfo", &[("access_token", token.as_str())], &[("Authorization", &header)]).await;
    twice.is_refused(400, "invalid_request", "two_tokens", "fix_client", false);
    let basic = world.get("/userinfo", &[("Authorization", "Basic abc")]).await;
    basic.is_refused(400, "invalid_request", "malformed_token", "fix_client", false);

    let service =
        [("grant_type", "client_credentials"), ("client_id", "service"), ("client_secret", "service-secret")];
    let own = world.post("/token", &service, &[]).await;
    let refused = ask(&world, own.is_issued().text("access_token")).await;
    refused.is_refused(401, "invalid_token", "no_session", "reauthenticate", false);
}

#[tokio::test]
async fn id_token_is_no_access_token() {
    let world = World::new().await;
    let born = world.consented("web").await;
    let answer = world.redeem("web", &born.code, &[]).await;
    let refused = ask(&world, answer.is_issued().text("id_token")).await;
    refused.is_refused(401, "invalid_token", "unknown", "reauthenticate", false);
}

#[tokio::test]
async fn expired_token_asks_for_a_refresh() {
    let world = World::new().await;
    let claims = json!({
        "iss": crate::world::ISSUER, "exp": 1_000_000_000, "scope": "openid", "sid": "x",
    });
    let token = world.service.keys.sign("at+jwt", &claims).unwrap();
    ask(&world, &token).await.is_refused(401, "invalid_token", "expired", "reload_credentials", true);
}
