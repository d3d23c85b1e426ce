//! Fault 5, on one node: many holders of one refresh token present it at the same moment.

use perennial_testkit::Seed;
use perennial_testkit::http::CookieClient;
use perennial_testkit::proxy::{Fault, Gate, script};
use tokio::task::JoinSet;

use crate::app::{App, generation, key_for};
use crate::decisions::assert_one_successor_each;
use crate::world::World;

const SIBLINGS: usize = 24;
const ROUNDS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn siblings_with_one_retry_key_all_get_the_same_token() {
    all_get_the_same(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn siblings_without_a_key_all_get_the_same_token() {
    all_get_the_same(false).await;
}

async fn all_get_the_same(keyed: bool) {
    let world = World::start(Seed::announce()).await;
    let mut token = App::of(&world).sign_in(&mut CookieClient::new()).await;
    for _ in 0..ROUNDS {
        let gate = Gate::new();
        world.proxy.set_script(script::every(1, Fault::HoldRequest(gate.clone())));
        let mut siblings = JoinSet::new();
        for _ in 0..SIBLINGS {
            let (app, token) = (App::of(&world), token.clone());
            let key = keyed.then(|| key_for(&token));
            siblings.spawn(async move { app.refresh(&token, key.as_deref()).await.unwrap().refresh_token() });
        }
        gate.arrived(SIBLINGS).await;
        gate.open();
        let successors = siblings.join_all().await;
        assert!(successors.iter().all(|successor| *successor == successors[0]), "{successors:?}");
        assert_eq!(generation(&successors[0]), generation(&token) + 1);
        token.clone_from(&successors[0]);
    }
    let decided = assert_one_successor_each(&world.end().await);
    assert_eq!(decided.len(), 1 + ROUNDS * SIBLINGS);
}
