//! The main test: everything at once. A network that loses every third answer, a server that is killed under load,
//! clients that are suspended and killed, and twenty-four processes on one credential file.

use perennial_testkit::proxy::{Fault, script};
use perennial_testkit::{Seed, cases};

use crate::decisions::assert_one_successor_each;
use crate::fleet;
use crate::kills::Load;
use crate::world::{Home, World};

const KILLS: u32 = 20;
const DEVICES: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_signed_out_by_lost_answers_kills_and_suspended_clients_together() {
    let seed = Seed::announce();
    let mut world = World::with_access_tokens_of(seed, 1).await;
    let home = Home::new();
    home.log_in(&world.issuer(), "cli").await;
    let load = Load::start(&world, DEVICES).await;
    world.proxy.set_script(script::only("/token", script::every(3, Fault::LoseAnswer)));

    let mut rng = seed.nth(1).rng();
    let kills = async {
        for _ in 0..cases(KILLS) {
            load.acknowledges(100 + rng.below(300)).await;
            load.kill_and_restart(&mut world).await;
        }
    };
    let ((), ends) = tokio::join!(kills, fleet::work(&home, seed.nth(2), cases(12)));

    world.proxy.set_script(script::pass());
    let acknowledged = load.finish().await;
    fleet::assert_signed_in(&home, &world).await;
    let counts = world.proxy.counts();
    let decided = assert_one_successor_each(&world.end().await);
    eprintln!("{acknowledged} refreshes acknowledged, {} decided, {counts:?}", decided.len());
    assert!(counts.answers_lost > 100 && counts.server_away > 0, "{counts:?}");
    assert!(ends.resumed > 0 && ends.killed > 0, "{ends:?}");
}
