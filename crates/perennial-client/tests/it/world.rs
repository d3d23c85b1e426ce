//! Several engines on one credential file, and everything that can go wrong between any two of their actions:
//! crashes, lost requests and answers, late duplicates, failing disks, jumping clocks.
//!
//! The server derives successors: the same token with the same key yields the same successor; another key for a
//! used token is the error that would sign somebody out, and fails the test.

use std::collections::{HashMap, HashSet, VecDeque};

use perennial_client::engine::{
    Action, CallerId, Engine, Event, HttpAnswer, RefreshRequest, StoreFailure, TransportFailure,
};
use perennial_client::{BootMillis, Clocks, Credentials, Entropy, Phase, Secret, UnixMillis};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

const PROCESSES: usize = 3;
const LIFETIME_S: u64 = 60;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// One process takes one step; `fate` decides what becomes of a request or a write in it.
    Step(usize, Fate),
    Want(usize),
    ApiRefuses(usize),
    Crash(usize),
    PassMs(u64),
    JumpWall(i64),
    Wake(usize),
    DeliverLate,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Good,
    RequestLost,
    AnswerLost,
    Duplicated,
    Portal,
    Busy,
    DiskFull,
    WrittenButNotSynced,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Good),
        1 => Just(Fate::RequestLost),
        3 => Just(Fate::AnswerLost),
        1 => Just(Fate::Duplicated),
        1 => Just(Fate::Portal),
        1 => Just(Fate::Busy),
        1 => Just(Fate::DiskFull),
        1 => Just(Fate::WrittenButNotSynced),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let process = 0..PROCESSES;
    prop_oneof![
        20 => (process.clone(), fate()).prop_map(|(process, fate)| Op::Step(process, fate)),
        3 => process.clone().prop_map(Op::Want),
        1 => process.clone().prop_map(Op::ApiRefuses),
        2 => process.clone().prop_map(Op::Crash),
        4 => (0..40_000_u64).prop_map(Op::PassMs),
        1 => (-90_000_000..90_000_000_i64).prop_map(Op::JumpWall),
        1 => process.prop_map(Op::Wake),
        1 => Just(Op::DeliverLate),
    ]
}

/// Successors as the real server derives them.
#[derive(Default)]
struct Server {
    generation: u64,
    keys: HashMap<u64, String>,
    access_tokens: u64,
}

impl Server {
    fn refresh(&mut self, request: &RefreshRequest) -> HttpAnswer {
        let presented: u64 = request.refresh_token.expose().trim_start_matches("rt-").parse().unwrap();
        let key = request.retry_key.as_ref().expect("a retry key").expose().to_owned();
        let first = self.keys.entry(presented).or_insert_with(|| key.clone());
        assert_eq!(*first, key, "two keys for the token of generation {presented}");
        let shared = self.keys.iter().any(|(other, known)| *other != presented && *known == key);
        assert!(!shared, "one key for two tokens");
        if presented == self.generation {
            self.generation += 1;
        } else if presented + 1 < self.generation {
            let stale = serde_json::json!({ "error": "conflict", "retryable": true, "reason": "superseded",
                "action": "reload_credentials" });
            return json(409, &stale);
        }
        self.access_tokens += 1;
        json(
            200,
            &serde_json::json!({ "access_token": format!("at-{}", self.access_tokens),
            "refresh_token": format!("rt-{}", presented + 1), "expires_in": LIFETIME_S,
            "token_type": "Bearer", "session": { "id": "s-1", "state": "active" } }),
        )
    }
}

fn json(status: u16, body: &serde_json::Value) -> HttpAnswer {
    HttpAnswer {
        status,
        content_type: Some("application/json".into()),
        body: body.to_string().into_bytes().into(),
        ..HttpAnswer::default()
    }
}

fn disk_full(verb: &'static str) -> StoreFailure {
    StoreFailure::Io { path: "file".into(), verb, cause: "no space left".into() }
}

struct Process {
    engine: Engine,
    inbox: VecDeque<Event>,
    wake_at: Option<BootMillis>,
    handed_out: usize,
}

impl Process {
    fn start(file: &Option<Credentials>) -> Self {
        let engine = Engine::new(file.clone());
        Self { engine, inbox: VecDeque::from([Event::Timer]), wake_at: None, handed_out: 0 }
    }
}

struct World {
    server: Server,
    file: Option<Credentials>,
    ever_stored: HashSet<String>,
    lock: Option<usize>,
    lock_queue: VecDeque<usize>,
    processes: Vec<Process>,
    late: Vec<RefreshRequest>,
    now: Clocks,
    draws: u64,
    callers: u64,
}

impl World {
    fn new() -> Self {
        let imported =
            Credentials::from_refresh_token("https://id", "app", "https://id/token", Secret::from("rt-0"))
                .welcoming_retry_keys();
        let file = Some(imported);
        Self {
            processes: (0..PROCESSES).map(|_| Process::start(&file)).collect(),
            server: Server::default(),
            file,
            ever_stored: HashSet::new(),
            lock: None,
            lock_queue: VecDeque::new(),
            late: Vec::new(),
            now: Clocks { wall: UnixMillis(1_800_000_000_000), boot: BootMillis(1_000_000), boot_id: 1 },
            draws: 0,
            callers: 0,
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Step(process, fate) => self.step(process, fate),
            Op::Want(process) => self.want(process),
            Op::ApiRefuses(process) => {
                let tokens = self.processes[process].engine.credentials().and_then(|c| c.tokens.as_ref());
                let serial = tokens.map_or(0, |tokens| tokens.serial);
                let (caller, deadline) = (self.caller(), self.now.boot.plus_ms(30_000));
                self.processes[process].inbox.push_back(Event::ApiRefused { caller, serial, deadline });
            }
            Op::Crash(process) => {
                self.lock_queue.retain(|waiting| *waiting != process);
                if self.lock == Some(process) {
                    self.free_lock();
                }
                self.processes[process] = Process::start(&self.file);
            }
            Op::PassMs(ms) => self.pass_ms(ms),
            Op::JumpWall(ms) => self.now.wall = UnixMillis(self.now.wall.0.saturating_add_signed(ms)),
            Op::Wake(process) => self.processes[process].inbox.push_back(Event::Woke),
            Op::DeliverLate => {
                if let Some(request) = self.late.pop() {
                    self.server.refresh(&request);
                }
            }
        }
    }

    fn caller(&mut self) -> CallerId {
        self.callers += 1;
        CallerId(self.callers)
    }

    fn want(&mut self, process: usize) {
        let (caller, deadline) = (self.caller(), self.now.boot.plus_ms(30_000));
        let wanted = Event::TokenWanted { caller, min_ttl_ms: 5_000, deadline };
        self.processes[process].inbox.push_back(wanted);
    }

    fn pass_ms(&mut self, ms: u64) {
        self.now.wall = self.now.wall.plus_ms(ms);
        self.now.boot = self.now.boot.plus_ms(ms);
        for process in &mut self.processes {
            if process.wake_at.is_some_and(|at| at <= self.now.boot) {
                process.wake_at = None;
                process.inbox.push_back(Event::Timer);
            }
        }
    }

    /// One action, or else one event: a crash may come between any two.
    fn step(&mut self, index: usize, fate: Fate) {
        if let Some(action) = self.processes[index].engine.poll() {
            return self.act(index, action, fate);
        }
        if let Some(event) = self.processes[index].inbox.pop_front() {
            self.draws += 1;
            let mut entropy = [0; 32];
            for (part, chunk) in entropy.chunks_mut(8).enumerate() {
                let mixed = (self.draws + (part as u64) * 7_919).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                chunk.copy_from_slice(&(mixed ^ (mixed >> 29)).to_le_bytes());
            }
            self.processes[index].engine.handle(event, self.now, Entropy(entropy));
        }
    }

    fn act(&mut self, index: usize, action: Action, fate: Fate) {
        match action {
            Action::Lock if matches!(fate, Fate::DiskFull) => {
                self.processes[index].inbox.push_back(Event::LockFailed(disk_full("locked")));
            }
            Action::Lock if self.lock.is_none() => {
                self.lock = Some(index);
                self.processes[index].inbox.push_back(Event::LockTaken);
            }
            Action::Lock => self.lock_queue.push_back(index),
            Action::Unlock => {
                assert_eq!(self.lock, Some(index), "unlocked without holding the lock");
                self.free_lock();
            }
            Action::Read if matches!(fate, Fate::DiskFull) => {
                self.processes[index].inbox.push_back(Event::LoadFailed(disk_full("read")));
            }
            Action::Read => {
                let stored = self.file.clone().map(Box::new);
                self.processes[index].inbox.push_back(Event::Loaded(stored));
            }
            Action::Store(next, _) => self.store(index, *next, fate),
            Action::Send(request) => self.send(index, request, fate),
            Action::WakeAt(at) => self.processes[index].wake_at = Some(at),
            Action::Publish(state) => assert_ne!(state.phase, Phase::SignedOut, "{state:?}"),
            Action::HandOut(_, token) => {
                assert!(self.ever_stored.contains(token.token.secret.expose()), "handed out before stored");
                self.processes[index].handed_out += 1;
            }
            Action::Fail(_, error) => assert!(!error.is_signed_out(), "{error}"),
            Action::Note(_) => {}
        }
    }

    fn store(&mut self, index: usize, next: Credentials, fate: Fate) {
        assert_eq!(self.lock, Some(index), "written without the lock");
        let full = matches!(fate, Fate::DiskFull);
        if !full {
            let access = next.tokens.as_ref().and_then(|tokens| tokens.access_token.as_ref());
            self.ever_stored.extend(access.map(|token| token.secret.expose().to_owned()));
            self.file = Some(next);
        }
        let failed = full || matches!(fate, Fate::WrittenButNotSynced);
        let event = if failed { Event::StoreFailed(disk_full("written")) } else { Event::Stored };
        self.processes[index].inbox.push_back(event);
    }

    fn send(&mut self, index: usize, request: RefreshRequest, fate: Fate) {
        assert_eq!(self.lock, Some(index), "sent without the lock");
        let stored = self.file.as_ref().and_then(|file| file.retry_key.clone());
        assert_eq!(stored, request.retry_key, "sent before its key was stored");
        let id = request.id;
        let lost = || Event::TransportFailed(id, TransportFailure::Interrupted("reset".into()));
        let event = match fate {
            Fate::Good | Fate::DiskFull | Fate::WrittenButNotSynced => {
                Event::Answered(id, self.server.refresh(&request))
            }
            Fate::RequestLost => {
                self.late.push(request);
                lost()
            }
            Fate::AnswerLost => {
                self.server.refresh(&request);
                lost()
            }
            Fate::Duplicated => {
                let answer = self.server.refresh(&request);
                self.late.push(request);
                Event::Answered(id, answer)
            }
            Fate::Portal => Event::Answered(
                id,
                HttpAnswer { status: 200, content_type: Some("text/html".into()), ..HttpAnswer::default() },
            ),
            Fate::Busy => Event::Answered(
                id,
                json(503, &serde_json::json!({ "error": "temporarily_unavailable", "retryable": true })),
            ),
        };
        self.processes[index].inbox.push_back(event);
    }

    fn free_lock(&mut self) {
        self.lock = self.lock_queue.pop_front();
        if let Some(next) = self.lock {
            self.processes[next].inbox.push_back(Event::LockTaken);
        }
    }

    /// With nothing going wrong any more, every process serves a token within a few minutes.
    fn settle(&mut self) {
        for process in &mut self.processes {
            process.handed_out = 0;
        }
        for round in 0.. {
            for index in 0..PROCESSES {
                for _ in 0..40 {
                    self.step(index, Fate::Good);
                }
                if self.processes[index].handed_out == 0 && round % 35 == 0 {
                    self.want(index);
                }
            }
            if self.processes.iter().all(|process| process.handed_out > 0) {
                return;
            }
            assert!(round < 1_000, "a process never got a token again");
            self.pass_ms(1_000);
        }
    }
}

/// Random worlds. `PERENNIAL_SEED` (64 hex digits) replays one run.
#[test]
fn nobody_is_signed_out_by_losses_crashes_or_clocks() {
    let seed = seed();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&prop::collection::vec(op(), 0..600), |ops| {
        let mut world = World::new();
        for op in ops {
            world.apply(op);
        }
        world.settle();
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    match std::env::var("PERENNIAL_SEED") {
        Ok(hex) => {
            for (byte, digits) in seed.iter_mut().zip(hex.as_bytes().chunks(2)) {
                *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
            }
        }
        Err(_) => getrandom::fill(&mut seed).unwrap(),
    }
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("PERENNIAL_SEED={hex}");
    seed
}

#[test]
fn crash_after_each_single_action_of_a_refresh_loses_nothing() {
    for crash_after in 0..40 {
        let mut world = World::new();
        world.want(0);
        for _ in 0..crash_after {
            world.apply(Op::Step(0, Fate::Good));
        }
        world.apply(Op::Crash(0));
        world.settle();
        assert!(world.server.generation <= 2, "crash after {crash_after} steps");
    }
}
