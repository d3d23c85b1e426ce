//! Faults 1 to 4: a network that loses, cuts, repeats, reorders and delays, and what is left of a session after it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use perennial_client::{Credentials, MemoryStore, Secret, Session, SessionOptions, Store as _};
use perennial_testkit::http::CookieClient;
use perennial_testkit::proxy::{Cut, Exchange, Fault, Gate, Happened, script};
use perennial_testkit::{Rng, Seed};
use tokio::task::JoinSet;

use crate::app::{App, generation, key_for};
use crate::decisions::{assert_one_successor_each, reasons};
use crate::world::World;

/// How many sessions share the cuts among them; each waits out its client's pauses between tries.
const SESSIONS: usize = 100;

#[tokio::test]
async fn lost_request_changes_nothing() {
    let world = World::start(Seed::announce()).await;
    let app = App::of(&world);
    let first = app.sign_in(&mut CookieClient::new()).await;
    for key in [Some(key_for(&first)), None] {
        world.proxy.set_script(script::list([Fault::LoseRequest]));
        app.refresh(&first, key.as_deref()).await.unwrap_err();
    }
    let second = app.refresh(&first, Some(&key_for(&first))).await.unwrap().refresh_token();
    assert_eq!(generation(&second), generation(&first) + 1);
    let log = world.end().await;
    assert_eq!(reasons(&log, generation(&first)), ["rotated"], "the server saw one request");
}

#[tokio::test]
async fn lost_answer_replays_the_same_successor_also_after_a_restart() {
    let mut world = World::start(Seed::announce()).await;
    let app = App::of(&world);
    for key in [Some(key_for), None] {
        let first = app.sign_in(&mut CookieClient::new()).await;
        let key = key.map(|key| key(&first));
        world.proxy.set_script(script::list([Fault::LoseAnswer]));
        app.refresh(&first, key.as_deref()).await.unwrap_err();
        let second = app.refresh(&first, key.as_deref()).await.unwrap().refresh_token();
        assert_eq!(generation(&second), generation(&first) + 1);
        world.kill_and_restart().await;
        let again = app.refresh(&first, key.as_deref()).await.unwrap().refresh_token();
        assert_eq!(again, second);
    }
    let log = world.end().await;
    let of_both = reasons(&log, 1);
    let [keyed, plain] = of_both.as_chunks::<3>().0 else { panic!("{of_both:?}") };
    assert_eq!(keyed, &["rotated", "replayed_by_retry_key", "replayed_by_retry_key"]);
    assert_eq!(plain, &["rotated", "replayed_for_sibling", "replayed_for_sibling"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_cut_at_every_byte_is_replayed_and_nothing_partial_is_stored() {
    let world = Arc::new(World::start(Seed::announce()).await);
    let answer_bytes = answer_length(&world).await;
    assert!(answer_bytes > 500, "an answer with tokens, not {answer_bytes} bytes");
    let cuts = Arc::new(Mutex::new(HashMap::new()));
    world.proxy.set_script(cut_once(Arc::clone(&cuts)));

    let app = App::of(&world);
    let mut browser = CookieClient::new();
    let mut work = JoinSet::new();
    for first in 0..SESSIONS {
        let mut token = app.sign_in(&mut browser).await;
        let (world, cuts) = (Arc::clone(&world), Arc::clone(&cuts));
        work.spawn(async move {
            for at in (first..answer_bytes).step_by(SESSIONS) {
                cuts.lock().unwrap().insert(token.clone(), at);
                token = survive_a_cut(&world, &token, at).await;
            }
        });
    }
    work.join_all().await;
    let counts = world.proxy.counts();
    assert_eq!(counts.answers_cut, answer_bytes as u64, "every byte once");
    let world = Arc::into_inner(world).unwrap();
    let decided = assert_one_successor_each(&world.end().await);
    let count = |reason| decided.iter().filter(|decided| decided.reason == reason).count();
    assert_eq!(count("replayed_by_retry_key"), answer_bytes, "each cut answer was asked for once again");
}

/// How long an answer is, head and body.
async fn answer_length(world: &World) -> usize {
    let app = App::of(world);
    let token = app.sign_in(&mut CookieClient::new()).await;
    let mut events = world.proxy.events();
    app.refresh(&token, None).await.unwrap();
    loop {
        if let Happened::Answered { bytes, .. } = events.recv().await.unwrap().happened {
            return bytes;
        }
    }
}

/// Cuts the first answer to each token where it is told.
fn cut_once(cuts: Arc<Mutex<HashMap<String, usize>>>) -> impl FnMut(&Exchange, &mut Rng) -> Fault {
    move |exchange, _| {
        let body = exchange.body_text();
        let token = body.split('&').find_map(|pair| pair.strip_prefix("refresh_token="));
        let at = token.and_then(|token| cuts.lock().unwrap().remove(token));
        at.map_or(Fault::Pass, |at| Fault::CutAnswer(Cut::Byte(at)))
    }
}

/// The Perennial client, from this refresh token to the next through an answer that is cut once.
async fn survive_a_cut(world: &World, token: &str, at: usize) -> String {
    let imported =
        Credentials::from_refresh_token(&world.issuer(), "app", &world.token_endpoint(), Secret::from(token));
    let store = MemoryStore::holding(imported.welcoming_retry_keys());
    let session = Session::open(Arc::new(store.clone()), SessionOptions::default()).await.unwrap();
    let access = session.token().await.unwrap_or_else(|error| panic!("cut at {at}: {error}"));
    let stored = store.read(None).unwrap().unwrap();
    let tokens = stored.tokens.as_ref().unwrap();
    assert_eq!(tokens.access_token.as_ref().unwrap().secret.expose(), access.expose(), "cut at {at}");
    assert_eq!(access.expose().split('.').count(), 3, "cut at {at}: a whole JWT");
    let next = stored.refresh_token().unwrap().expose().to_owned();
    assert_eq!(generation(&next), generation(token) + 1, "cut at {at}");
    assert!(stored.retry_key.is_none() && stored.set_aside.is_empty(), "cut at {at}");
    next
}

#[tokio::test]
async fn duplicated_request_has_one_successor() {
    let world = World::start(Seed::announce()).await;
    let app = App::of(&world);
    let mut token = app.sign_in(&mut CookieClient::new()).await;
    world.proxy.set_script(script::every(1, Fault::Duplicate));
    for nth in 0..20 {
        let key = (nth % 2 == 0).then(|| key_for(&token));
        let next = app.refresh(&token, key.as_deref()).await.unwrap().refresh_token();
        assert_eq!(generation(&next), generation(&token) + 1);
        token = next;
    }
    let duplicated = world.proxy.reached(|counts| counts.duplicated == 20).await;
    assert_eq!(duplicated.answered, duplicated.delivered);
    let decided = assert_one_successor_each(&world.end().await);
    assert_eq!(decided.len(), 1 + 40, "the code, and each refresh twice");
}

#[tokio::test]
async fn late_and_reordered_requests_are_stale_and_no_evidence() {
    let world = World::start(Seed::announce()).await;
    let app = App::of(&world);
    let first = app.sign_in(&mut CookieClient::new()).await;
    let (held, later) = (Gate::new(), Gate::new());
    // The first try hangs on the way, and its client gives up; the second is also repeated much later.
    world.proxy.set_script(script::list([Fault::HoldRequest(held.clone()), Fault::Repeat(later.clone())]));
    let key = key_for(&first);
    tokio::select! {
        answer = app.refresh(&first, Some(&key)) => panic!("{answer:?} though it was held"),
        () = held.arrived(1) => {}
    }
    let second = app.refresh(&first, Some(&key)).await.unwrap().refresh_token();
    let third = app.refresh(&second, Some(&key_for(&second))).await.unwrap().refresh_token();
    let answered = world.proxy.counts().answered;
    held.open();
    world.proxy.reached(|counts| counts.answered > answered).await;
    later.open();
    world.proxy.reached(|counts| counts.duplicated == 1).await;
    // Both are older than what the session has: neither moved it, and the newest token goes on.
    let fourth = app.refresh(&third, Some(&key_for(&third))).await.unwrap().refresh_token();
    assert_eq!(generation(&fourth), generation(&first) + 3);
    let log = world.end().await;
    assert_eq!(reasons(&log, generation(&first)), ["rotated", "stale_by_retry_key", "stale_by_retry_key"]);
    assert_one_successor_each(&log);
}
