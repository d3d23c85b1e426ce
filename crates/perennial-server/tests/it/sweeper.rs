//! The sweeper, and ends by command.

use perennial_core::session::{EndCause, Reason, State};
use perennial_core::write::{FeedPosition, Ticket, TicketKey};
use perennial_core::{ClientId, UnixMillis};
use perennial_server::sweeper::{RETENTION_MS, end_sessions_of, sweep_slice};
use perennial_store::{SessionsOf, Store as _};

use crate::world::{DAY_MS, World};

#[tokio::test]
async fn expired_session_lapses_once_with_its_event() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    let (alive, _) = world.signed_in("web").await;
    world.age(sid, 15 * DAY_MS).await;
    for _ in 0..2 {
        assert_eq!(sweep_slice(&world.service, None).await.unwrap(), None);
    }
    assert!(matches!(world.row(sid).await.hot.state, State::Ended { cause: EndCause::IdleExpiry, .. }));
    assert_eq!(world.row(alive).await.hot.state, State::Active);
    let events = world.store.events(FeedPosition(0), 100).await.unwrap();
    let lapses = events.iter().filter(|stored| stored.event.reason == Reason::IdleExpired).count();
    assert_eq!(lapses, 1);
    let refused = world.refresh("web", &token, &[]).await;
    refused.is_refused(400, "invalid_grant", "expired_idle", "reauthenticate", false);
}

#[tokio::test]
async fn session_that_ended_a_month_ago_is_forgotten() {
    let world = World::new().await;
    let (sid, _) = world.signed_in("web").await;
    let now = world.service.clock.now().wall;
    let ended = |ago| State::Ended { cause: EndCause::Logout, at: UnixMillis(now.0 - ago) };
    world.alter(sid, |hot, _| hot.state = ended(RETENTION_MS - DAY_MS)).await;
    sweep_slice(&world.service, None).await.unwrap();
    assert!(world.store.inner.session(sid).await.unwrap().is_some());
    world.alter(sid, |hot, _| hot.state = ended(RETENTION_MS)).await;
    sweep_slice(&world.service, None).await.unwrap();
    assert!(world.store.inner.session(sid).await.unwrap().is_none());
}

#[tokio::test]
async fn slices_go_through_all_sessions_in_order() {
    let world = World::new().await;
    let mut sids = Vec::new();
    for _ in 0..300 {
        let born = world.consented("web").await;
        world.age(born.sid, DAY_MS).await;
        sids.push(born.sid);
    }
    let next = sweep_slice(&world.service, None).await.unwrap();
    assert!(next.is_some());
    assert_eq!(sweep_slice(&world.service, next).await.unwrap(), None);
    for sid in sids {
        assert!(matches!(world.row(sid).await.hot.state, State::Ended { cause: EndCause::CodeExpiry, .. }));
    }
}

#[tokio::test]
async fn expired_tickets_are_swept() {
    let world = World::new().await;
    let key = TicketKey(b"x-expired".to_vec());
    let ticket = Ticket { key: key.clone(), expires_at: UnixMillis(1), payload: vec![] };
    world.store.put_ticket(ticket).await.unwrap();
    sweep_slice(&world.service, None).await.unwrap();
    assert_eq!(world.store.ticket(&key).await.unwrap(), None);
}

#[tokio::test]
async fn all_sessions_of_a_client_or_subject_end_on_command() {
    let world = World::new().await;
    let (web, token) = world.signed_in("web").await;
    let (other, _) = world.signed_in("other").await;
    let client = SessionsOf::Client(ClientId::from("web"));
    assert_eq!(end_sessions_of(&world.service, client.clone(), EndCause::ClientDisabled).await.unwrap(), 1);
    assert_eq!(end_sessions_of(&world.service, client, EndCause::ClientDisabled).await.unwrap(), 0);
    assert!(matches!(world.row(web).await.hot.state, State::Ended { cause: EndCause::ClientDisabled, .. }));
    assert_eq!(world.row(other).await.hot.state, State::Active);
    let subject = SessionsOf::Subject(world.subject.clone());
    assert_eq!(end_sessions_of(&world.service, subject, EndCause::PasswordChange).await.unwrap(), 1);
    let refused = world.refresh("web", &token, &[]).await;
    refused.is_refused(400, "invalid_grant", "revoked", "reauthenticate", false);
}
