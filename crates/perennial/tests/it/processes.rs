//! Fault 6, and the credential file of many processes: whoever dies, wherever, the user stays signed in (INV-2).

use perennial_testkit::proxy::{Fault, script};
use perennial_testkit::{Seed, cases};

use crate::decisions::assert_one_successor_each;
use crate::fleet;
use crate::world::{Home, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_on_one_file_stay_signed_in_whoever_of_them_dies() {
    let seed = Seed::announce();
    let world = World::with_access_tokens_of(seed, 1).await;
    let home = Home::new();
    home.log_in(&world.issuer(), "cli").await;
    world.proxy.set_script(script::only("/token", script::every(3, Fault::LoseAnswer)));
    let ends = fleet::work(&home, seed, cases(15)).await;
    let lost = world.proxy.counts().answers_lost;
    world.proxy.set_script(script::pass());
    fleet::assert_signed_in(&home, &world).await;
    let decided = assert_one_successor_each(&world.end().await);
    let rotated = decided.iter().filter(|decided| decided.reason == "rotated").count();
    eprintln!("{rotated} rotations, {lost} answers lost");
    assert!(rotated >= 3 && lost >= 1 && ends.killed > 0 && ends.resumed > 0, "this shows little");
}

#[cfg(feature = "testkit")]
#[tokio::test]
async fn process_that_dies_at_any_step_of_a_refresh_costs_nothing() {
    use std::os::unix::process::ExitStatusExt as _;

    use perennial_client::{FileStore, Store as _};

    use crate::app::generation;
    use crate::world::DEADLINE;

    let world = World::start(Seed::announce()).await;
    let home = Home::new();
    home.log_in(&world.issuer(), "cli").await;
    let store = FileStore::at(home.credentials());
    for step in fleet::FAILPOINTS {
        let mut stored = store.read(None).unwrap().unwrap();
        let before = stored.refresh_token().unwrap().expose().to_owned();
        // Without an access token the next process must refresh.
        stored.tokens.as_mut().unwrap().access_token = None;
        store.write(&store.lock().unwrap(), &stored).unwrap();
        let dying = home.command(&["token"]).env("PERENNIAL_FAILPOINT", step).run(DEADLINE).await.unwrap();
        assert_eq!(dying.status.signal(), Some(6), "{step}: {dying:?}");
        home.run(&["token"]).await.expect_success();
        let after = fleet::assert_signed_in(&home, &world).await;
        assert_eq!(generation(after.refresh_token().unwrap().expose()), generation(&before) + 1, "{step}");
        assert!(after.retry_key.is_none(), "{step}");
    }
    assert_one_successor_each(&world.end().await);
}
