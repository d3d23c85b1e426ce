//! Many holders of one token at once.

use std::collections::HashSet;
use std::sync::Arc;

use perennial_core::Generation;

use crate::world::{RETRY_KEY, World};

async fn presented_by_24(key: Option<&'static str>) {
    let world = Arc::new(World::new().await);
    let (sid, token) = world.signed_in("web").await;
    let writes = world.store.writes();
    // All 24 have read the same row before the first of them writes.
    world.store.hold_readers(24);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let (world, token) = (Arc::clone(&world), token.clone());
        tasks.spawn(async move {
            let more: Vec<_> = key.map(|key| ("retry_key", key)).into_iter().collect();
            world.refresh("web", &token, &more).await
        });
    }
    let answers = tasks.join_all().await;
    let successors: HashSet<_> =
        answers.iter().map(|answer| answer.is_issued().text("refresh_token")).collect();
    assert_eq!(successors.len(), 1);
    assert_eq!(world.row(sid).await.hot.generation, Generation(2));
    assert_eq!(world.row(sid).await.hot.evidence, 0);
    assert_eq!(world.store.writes() - writes, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_token_in_24_hands_becomes_one_successor() {
    presented_by_24(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_token_in_24_hands_with_its_retry_key_becomes_one_successor() {
    presented_by_24(Some(RETRY_KEY)).await;
}

#[tokio::test]
async fn refreshing_and_revoking_at_once_ends_the_session_either_way() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    world.store.hold_readers(2);
    let form = [("token", token.as_str()), ("client_id", "web")];
    let (_, revoked) = tokio::join!(world.refresh("web", &token, &[]), world.post("/revoke", &form, &[]));
    world.store.release_readers();
    assert_eq!(revoked.status, 200);
    let after = world.refresh("web", &world.token_of(sid, 2).await, &[]).await;
    after.is_refused(400, "invalid_grant", "revoked", "reauthenticate", false);
}
