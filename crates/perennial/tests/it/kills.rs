//! Fault 10: the server dies by SIGKILL under load, again and again, and every refresh that it acknowledged is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use perennial_testkit::http::CookieClient;
use perennial_testkit::{Seed, cases};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::{App, generation, key_for};
use crate::decisions::assert_one_successor_each;
use crate::world::World;

const KILLS: u32 = 40;
const DEVICES: usize = 16;
/// Refreshes between two kills, at most.
const BETWEEN_KILLS: u64 = 120;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_refresh_is_there_after_a_kill() {
    let seed = Seed::announce();
    let mut world = World::start(seed).await;
    let load = Load::start(&world, DEVICES).await;
    let mut rng = seed.nth(1).rng();
    for _ in 0..cases(KILLS) {
        load.acknowledges(1 + rng.below(BETWEEN_KILLS)).await;
        load.kill_and_restart(&mut world).await;
    }
    let pairs = load.finish().await;
    let decided = assert_one_successor_each(&world.end().await);
    let replayed = decided.iter().filter(|decided| decided.reason.starts_with("replayed")).count();
    eprintln!("{} kills, {pairs} refreshes acknowledged, {replayed} replayed", cases(KILLS));
}

/// Devices that refresh as fast as they are answered. Half of them send retry keys.
pub(crate) struct Load {
    server_is_up: watch::Sender<bool>,
    shared: Arc<Shared>,
    devices: JoinSet<()>,
}

struct Shared {
    acknowledged: watch::Sender<u64>,
    stop: watch::Sender<bool>,
    /// What was presented, and the one successor that anybody was ever given for it.
    successors: Mutex<HashMap<String, String>>,
}

impl Load {
    /// So many devices, each signed in.
    pub(crate) async fn start(world: &World, count: usize) -> Self {
        let shared = Arc::new(Shared {
            acknowledged: watch::Sender::new(0),
            stop: watch::Sender::new(false),
            successors: Mutex::default(),
        });
        let server_is_up = watch::Sender::new(true);
        let mut browser = CookieClient::new();
        let mut devices = JoinSet::new();
        for number in 0..count {
            let app = App::of(world);
            let token = app.sign_in(&mut browser).await;
            let is_up = server_is_up.subscribe();
            let device = Device { app, token, keyed: number % 2 == 0, shared: Arc::clone(&shared), is_up };
            devices.spawn(device.refresh_until_stopped());
        }
        Self { server_is_up, shared, devices }
    }

    /// Waits until so many more refreshes were acknowledged.
    pub(crate) async fn acknowledges(&self, more: u64) {
        let mut acknowledged = self.shared.acknowledged.subscribe();
        let enough = *acknowledged.borrow_and_update() + more;
        acknowledged.wait_for(|so_far| *so_far >= enough).await.unwrap();
    }

    /// SIGKILL in the middle of it, and a restart on the same data folder.
    pub(crate) async fn kill_and_restart(&self, world: &mut World) {
        self.server_is_up.send_replace(false);
        world.kill_and_restart().await;
        self.server_is_up.send_replace(true);
    }

    /// Lets every device refresh once more; returns how many refreshes were acknowledged in all.
    pub(crate) async fn finish(self) -> usize {
        self.shared.stop.send_replace(true);
        self.devices.join_all().await;
        self.shared.successors.lock().unwrap().len()
    }
}

struct Device {
    app: App,
    token: String,
    keyed: bool,
    shared: Arc<Shared>,
    is_up: watch::Receiver<bool>,
}

impl Device {
    async fn refresh_until_stopped(mut self) {
        loop {
            // Asked first: the refresh that follows is the one after the last kill.
            let is_last = *self.shared.stop.borrow();
            let next = self.refresh().await;
            assert_eq!(generation(&next), generation(&self.token) + 1);
            let before = self.shared.successors.lock().unwrap().insert(self.token.clone(), next.clone());
            assert_eq!(before, None, "each is presented until it is answered, and never again");
            self.token = next;
            self.shared.acknowledged.send_modify(|so_far| *so_far += 1);
            if is_last {
                return;
            }
        }
    }

    /// The same request until an answer comes; any refusal is a failure of the server.
    async fn refresh(&mut self) -> String {
        let key = self.keyed.then(|| key_for(&self.token));
        loop {
            self.is_up.wait_for(|is_up| *is_up).await.unwrap();
            if let Ok(answer) = self.app.refresh(&self.token, key.as_deref()).await {
                return answer.refresh_token();
            }
        }
    }
}
