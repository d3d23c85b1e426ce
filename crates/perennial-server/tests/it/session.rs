//! `/session`.

use perennial_core::ServiceMillis;
use perennial_core::session::State;

use crate::world::{Answer, DAY_MS, World};

async fn by_refresh_token(world: &World, client: &str, token: &str) -> Answer {
    world.post("/session", &[("refresh_token", token), ("client_id", client)], &[]).await
}

#[tokio::test]
async fn refresh_token_asks_without_being_consumed() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    let before = world.row(sid).await;
    let answer = by_refresh_token(&world, "web", &token).await;
    assert_eq!(answer.is_issued().body["session"]["state"], "active");
    assert_eq!(answer.body["session"]["id"], sid.to_string());
    assert_eq!(world.row(sid).await, before);
    let foreign = by_refresh_token(&world, "other", &token).await;
    foreign.is_refused(400, "invalid_grant", "unknown", "reauthenticate", false);
}

#[tokio::test]
async fn access_token_asks_too() {
    let world = World::new().await;
    let born = world.consented("web").await;
    let answer = world.redeem("web", &born.code, &[]).await;
    let header = format!("Bearer {}", answer.is_issued().text("access_token"));
    let session = world.get("/session", &[("Authorization", &header)]).await;
    assert_eq!(session.is_issued().body["session"]["id"], born.sid.to_string());
}

#[tokio::test]
async fn paused_and_ended_sessions_say_so() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    let until = ServiceMillis(world.service.clock.now().service.0 + DAY_MS);
    world.alter(sid, |hot, _| hot.state = State::Contested { until }).await;
    let paused = by_refresh_token(&world, "web", &token).await;
    let session = &paused.is_issued().body["session"];
    assert_eq!((&session["state"], &session["advice"]), (&"contested".into(), &"attend".into()));
    assert!(session["ends_at"].as_u64().unwrap() > world.service.clock.now().wall.seconds());

    let (sid, token) = world.signed_in("web").await;
    world.age(sid, 15 * DAY_MS).await;
    let ended = by_refresh_token(&world, "web", &token).await;
    let session = &ended.is_issued().body["session"];
    assert_eq!((&session["state"], &session["reason"]), (&"ended".into(), &"expired_idle".into()));
    assert!(session["since"].is_u64());
}
