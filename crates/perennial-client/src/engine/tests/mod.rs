//! Traces of the engine: events in, actions out, one store, virtual time.

mod answers;

use super::*;
use crate::clocks::UnixMillis;
use crate::credentials::RetryKey;
use crate::secret::Secret;

const WALL: u64 = 1_800_000_000_000;

/// One engine with its store, its clocks and what it has done so far.
struct Bench {
    engine: Engine,
    stored: Option<Credentials>,
    now: Clocks,
    roll: u8,
    next_caller: u64,
    locked: bool,
    handed_out: Vec<(CallerId, HandedOut)>,
    failed: Vec<(CallerId, TokenError)>,
    sent: Vec<RefreshRequest>,
    notes: Vec<Note>,
    wake_at: Option<BootMillis>,
    store_works: bool,
}

impl Bench {
    fn signed_in() -> Self {
        let imported =
            Credentials::from_refresh_token("https://id", "app", "https://id/token", Secret::from("rt-1"))
                .welcoming_retry_keys();
        let mut bench = Self::with(Some(imported));
        bench.event(Event::Timer);
        bench.answer(tokens("at-1", "rt-2", 600));
        bench.sent.clear();
        bench
    }

    fn with(stored: Option<Credentials>) -> Self {
        Self {
            engine: Engine::new(stored.clone()),
            stored,
            now: Clocks { wall: UnixMillis(WALL), boot: BootMillis(1_000_000), boot_id: 1 },
            roll: 0,
            next_caller: 0,
            locked: false,
            handed_out: Vec::new(),
            failed: Vec::new(),
            sent: Vec::new(),
            notes: Vec::new(),
            wake_at: None,
            store_works: true,
        }
    }

    /// Hands an event in and does everything but the network until the engine is quiet.
    fn event(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            self.roll = self.roll.wrapping_add(41);
            self.engine.handle(event, self.now, Entropy([self.roll; 32]));
            while let Some(action) = self.engine.poll() {
                events.extend(self.act(action));
            }
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Lock => {
                self.locked = true;
                Some(Event::LockTaken)
            }
            Action::Unlock => {
                self.locked = false;
                None
            }
            Action::Read => Some(Event::Loaded(self.stored.clone().map(Box::new))),
            Action::Store(..) if !self.store_works => Some(Event::StoreFailed(full_disk())),
            Action::Store(next, _) => {
                assert!(self.locked, "written without the lock");
                self.stored = Some(*next);
                Some(Event::Stored)
            }
            Action::Send(request) => {
                self.sent.push(request);
                None
            }
            Action::WakeAt(at) => {
                self.wake_at = Some(at);
                None
            }
            Action::Publish(_) => None,
            Action::HandOut(caller, token) => {
                let stored = self.stored.as_ref().and_then(|stored| stored.tokens.as_ref());
                assert_eq!(stored.and_then(|tokens| tokens.access_token.as_ref()), Some(&token.token));
                self.handed_out.push((caller, token));
                None
            }
            Action::Fail(caller, error) => {
                self.failed.push((caller, error));
                None
            }
            Action::Note(note) => {
                self.notes.push(note);
                None
            }
        }
    }

    fn want(&mut self, min_ttl_ms: u64, wait_ms: u64) -> CallerId {
        let caller = CallerId(self.next_caller);
        self.next_caller += 1;
        let deadline = self.now.boot.plus_ms(wait_ms);
        self.event(Event::TokenWanted { caller, min_ttl_ms, deadline });
        caller
    }

    fn api_refuses(&mut self, serial: u64) -> CallerId {
        let caller = CallerId(self.next_caller);
        self.next_caller += 1;
        let deadline = self.now.boot.plus_ms(10_000);
        self.event(Event::ApiRefused { caller, serial, deadline });
        caller
    }

    fn answer(&mut self, answer: HttpAnswer) {
        let id = self.sent.last().expect("a request in flight").id;
        self.event(Event::Answered(id, answer));
    }

    fn lose_answer(&mut self) {
        let id = self.sent.last().expect("a request in flight").id;
        self.event(Event::TransportFailed(id, TransportFailure::Interrupted("reset".into())));
    }

    fn pass_ms(&mut self, ms: u64) {
        self.now.wall = self.now.wall.plus_ms(ms);
        self.now.boot = self.now.boot.plus_ms(ms);
    }

    /// Lets time pass to where the engine asked to be woken, and wakes it.
    fn wake(&mut self) {
        let at = self.wake_at.expect("a time to wake at");
        self.pass_ms(at.since_ms(self.now.boot));
        self.event(Event::Timer);
    }

    fn phase(&self) -> Phase {
        self.engine.state().expect("published").phase
    }

    fn stored_refresh_token(&self) -> Option<&str> {
        self.stored.as_ref().and_then(Credentials::refresh_token).map(Secret::expose)
    }

    fn last_token(&self) -> &str {
        self.handed_out.last().expect("a token handed out").1.token.secret.expose()
    }
}

fn full_disk() -> StoreFailure {
    StoreFailure::Io { path: "default.json".into(), verb: "written", cause: "no space left on device".into() }
}

fn json(status: u16, body: &serde_json::Value) -> HttpAnswer {
    HttpAnswer {
        status,
        content_type: Some("application/json; charset=utf-8".into()),
        body: body.to_string().into_bytes().into(),
        ..HttpAnswer::default()
    }
}

fn tokens(access: &str, refresh: &str, expires_in: u64) -> HttpAnswer {
    let body = serde_json::json!({
        "access_token": access, "refresh_token": refresh, "expires_in": expires_in, "token_type": "Bearer" });
    json(200, &body)
}

fn error(status: u16, error: &str) -> HttpAnswer {
    json(status, &serde_json::json!({ "error": error }))
}

#[test]
fn imported_refresh_token_is_refreshed_and_stored_before_a_caller_gets_it() {
    let imported =
        Credentials::from_refresh_token("https://id", "app", "https://id/token", Secret::from("rt-1"));
    let mut bench = Bench::with(Some(imported));
    bench.want(0, 1_000);
    assert!(bench.handed_out.is_empty());
    let key = bench.stored.as_ref().and_then(|stored| stored.retry_key.clone());
    assert!(key.is_some(), "the key is stored before anything leaves");
    assert_eq!(bench.sent[0].retry_key, None, "a server that did not welcome retry keys gets none");
    bench.answer(tokens("at-1", "rt-2", 600));
    assert_eq!(bench.last_token(), "at-1");
    assert_eq!(bench.stored_refresh_token(), Some("rt-2"));
    assert!(bench.stored.as_ref().is_some_and(|stored| stored.retry_key.is_none()));
    assert!(!bench.locked);
}

#[test]
fn renewal_falls_between_three_and_four_fifths_of_the_life() {
    for roll in 0..=255_u8 {
        let mut bench = Bench::signed_in();
        bench.roll = roll;
        bench.event(Event::Timer);
        let at = bench.wake_at.expect("a renewal").since_ms(bench.now.boot);
        assert!((360_000..=480_000).contains(&at), "{at}");
    }
}

#[test]
fn refresh_after_of_the_server_is_obeyed() {
    let mut bench = Bench::signed_in();
    bench.wake();
    let body = serde_json::json!({ "access_token": "at", "refresh_token": "rt-3", "expires_in": 600,
        "token_type": "bearer", "session": { "id": "s", "state": "active", "refresh_after": 200 } });
    bench.answer(json(200, &body));
    assert_eq!(bench.wake_at.map(|at| at.since_ms(bench.now.boot)), Some(200_000));
    assert_eq!(bench.phase(), Phase::Fresh);
}

#[test]
fn every_try_for_one_token_sends_one_key() {
    let mut bench = Bench::signed_in();
    bench.wake();
    for _ in 0..20 {
        bench.lose_answer();
        assert!(!bench.locked, "the lock is free between tries");
        while bench.engine.step_is_idle() {
            bench.wake();
        }
    }
    let keys: Vec<_> = bench.sent.iter().map(|request| request.retry_key.clone()).collect();
    assert_eq!(keys.len(), 21);
    assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]));
    bench.answer(tokens("at-2", "rt-3", 600));
    assert_eq!(bench.phase(), Phase::Fresh);
}

#[test]
fn restart_after_a_crash_sends_the_key_that_was_stored() {
    let mut bench = Bench::signed_in();
    bench.wake();
    let key = bench.sent[0].retry_key.clone();
    let mut reborn = Bench::with(bench.stored.clone());
    reborn.now = bench.now;
    reborn.roll = 99;
    reborn.pass_ms(300_000);
    reborn.want(0, 1_000);
    assert_eq!(reborn.sent[0].retry_key, key);
}

#[test]
fn live_token_is_served_while_refreshes_fail_and_callers_wait_once_it_is_dead() {
    let mut bench = Bench::signed_in();
    bench.wake();
    bench.lose_answer();
    assert_eq!(bench.phase(), Phase::Expiring);
    bench.want(60_000, 1_000);
    assert_eq!(bench.last_token(), "at-1");
    while bench.phase() != Phase::ExpiredRetrying {
        bench.wake();
        if !bench.engine.step_is_idle() {
            bench.lose_answer();
        }
    }
    let served = bench.handed_out.len();
    let caller = bench.want(0, 5_000);
    assert_eq!(bench.handed_out.len(), served);
    let asked = bench.now.boot;
    while bench.failed.is_empty() {
        bench.wake();
        if !bench.engine.step_is_idle() {
            bench.lose_answer();
        }
    }
    assert_eq!(bench.now.boot.since_ms(asked), 5_000);
    assert_eq!(bench.failed[0].0, caller);
    assert!(bench.failed[0].1.is_retriable());
}

#[test]
fn many_callers_share_one_refresh() {
    let mut bench = Bench::signed_in();
    bench.pass_ms(700_000);
    for _ in 0..24 {
        bench.want(0, 10_000);
    }
    assert_eq!(bench.sent.len(), 1);
    bench.answer(tokens("at-2", "rt-3", 600));
    assert_eq!(bench.handed_out.len(), 24);
    assert!(bench.handed_out.iter().all(|(_, token)| token.token.secret.expose() == "at-2"));
}

#[test]
fn full_disk_before_the_request_sends_nothing_and_serves_the_old_token() {
    let mut bench = Bench::signed_in();
    bench.store_works = false;
    for _ in 0..100 {
        bench.wake();
        if bench.phase() == Phase::ExpiredRetrying {
            break;
        }
        bench.want(0, 0);
        assert_eq!(bench.last_token(), "at-1");
    }
    assert!(bench.sent.is_empty());
    assert!(bench.now.boot.since_ms(BootMillis(1_000_000)) > 500_000, "bounded tries");
    bench.store_works = true;
    while bench.sent.is_empty() {
        bench.wake();
    }
    bench.answer(tokens("at-2", "rt-3", 600));
    assert_eq!(bench.phase(), Phase::Fresh);
}

#[test]
fn full_disk_after_the_answer_keeps_the_tokens_until_they_can_be_stored() {
    let mut bench = Bench::signed_in();
    bench.wake();
    bench.store_works = false;
    bench.answer(tokens("at-2", "rt-3", 600));
    assert!(bench.locked);
    bench.want(0, 0);
    assert_eq!(bench.last_token(), "at-1");
    bench.wake();
    bench.store_works = true;
    bench.wake();
    bench.want(0, 0);
    assert_eq!(bench.last_token(), "at-2");
    assert_eq!(bench.sent.len(), 1);
    assert!(!bench.locked);
}

#[test]
fn waking_gives_the_network_a_moment_and_forgives_its_failures() {
    let mut bench = Bench::signed_in();
    bench.wake();
    for _ in 0..10 {
        let id = bench.sent.last().expect("a request").id;
        bench.event(Event::TransportFailed(id, TransportFailure::Unreachable("no route".into())));
        while bench.engine.step_is_idle() {
            bench.wake();
        }
    }
    let id = bench.sent.last().expect("a request").id;
    bench.event(Event::TransportFailed(id, TransportFailure::Unreachable("no route".into())));
    // Three days of sleep.
    bench.pass_ms(259_200_000);
    let tries = bench.sent.len();
    bench.event(Event::Woke);
    if bench.sent.len() == tries {
        let wait = bench.wake_at.expect("a try").since_ms(bench.now.boot);
        assert!(wait <= 300, "{wait}");
        bench.wake();
    }
    assert_eq!(bench.sent.len(), tries + 1);
}

#[test]
fn wall_clock_jumps_neither_stretch_nor_strand_a_token() {
    let mut bench = Bench::signed_in();
    bench.now.wall = UnixMillis(WALL - 86_400_000);
    bench.now.boot = bench.now.boot.plus_ms(700_000);
    bench.want(0, 1_000);
    assert_eq!(bench.sent.len(), 1, "the boot clock knows that the token is dead");
    bench.answer(tokens("at-2", "rt-3", 600));
    assert_eq!(bench.last_token(), "at-2");
    bench.now.wall = UnixMillis(WALL + 86_400_000);
    bench.want(0, 1_000);
    assert_eq!(bench.sent.len(), 2, "a token that seems too old costs one refresh");
    bench.answer(tokens("at-3", "rt-4", 600));
    bench.want(0, 1_000);
    assert_eq!(bench.sent.len(), 2);
}

#[test]
fn vanished_file_is_written_again_before_anything_is_sent() {
    let mut bench = Bench::signed_in();
    bench.stored = None;
    bench.wake();
    assert_eq!(bench.stored_refresh_token(), Some("rt-2"));
    assert!(bench.stored.as_ref().is_some_and(|stored| stored.retry_key.is_some()));
    assert_eq!(bench.sent.len(), 1);
}

#[test]
fn retry_keys_are_create_if_absent_and_only_for_the_stored_token() {
    let credentials = Credentials::from_refresh_token("i", "c", "t", Secret::from("rt"));
    let first = RetryKey::draw(&Entropy([1; 32]));
    let second = RetryKey::draw(&Entropy([2; 32]));
    assert!((22..=128).contains(&first.expose().len()));
    let (kept, next) = credentials.with_retry_key_if_absent(&Secret::from("rt"), first.clone()).unwrap();
    let next = next.expect("something to store");
    assert_eq!(kept, first);
    let again = next.with_retry_key_if_absent(&Secret::from("rt"), second.clone()).unwrap();
    assert_eq!(again, (first, None));
    assert!(next.with_retry_key_if_absent(&Secret::from("older"), second).is_err());
}
