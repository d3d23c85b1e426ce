//! Invariants 1, 2, 6, 7 and 8 over random interleavings of processes that share a credential, a network that
//! loses, repeats and delays, a server that is killed between any two steps, and failovers that lose the last
//! acknowledged rotations.
//!
//! A walk is a list of choices, so a failing one shrinks and is kept; `PROPTEST_RNG_SEED` replays a run.

use std::collections::BTreeMap;

use perennial_core::session::{Decision, Issue, Refusal, Verdict, redeem};
use perennial_core::{Generation, Session, decide};
use proptest::prelude::*;

use crate::samples::{applied, at, home, newborn, rules, token_with_key};

const PROCESSES: usize = 3;

/// What the processes of one device share: the stored token, and the retry key beside it.
#[derive(Clone, Copy, Debug)]
struct Shared {
    generation: u32,
    retry_key: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    process: usize,
    generation: u32,
    retry_key: u64,
}

/// A request on the server that has read the row and decided, but not yet written.
#[derive(Clone, Debug)]
struct Deciding {
    request: Request,
    read: Session,
    decision: Decision,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    request: Request,
    verdict: Verdict,
}

struct World {
    /// Every durable state of the row; the last one stands.
    rows: Vec<Session>,
    shared: Shared,
    /// What each process is waiting for, if it is.
    waiting: [Option<Request>; PROCESSES],
    sent: Vec<Request>,
    deciding: Vec<Deciding>,
    answers: Vec<Answer>,
    /// INV-1: which successor each presented generation was ever given.
    successors: BTreeMap<u32, u32>,
    keys_drawn: u64,
    ms: u64,
    /// The highest generation that was ever durable; a failover may take the row back behind it.
    ever_durable: u32,
}

impl World {
    fn new() -> Self {
        Self {
            rows: vec![newborn()],
            shared: Shared { generation: 0, retry_key: None },
            waiting: [None; PROCESSES],
            sent: vec![],
            deciding: vec![],
            answers: vec![],
            successors: BTreeMap::new(),
            keys_drawn: 0,
            ms: 0,
            ever_durable: 0,
        }
    }

    fn row(&self) -> &Session {
        self.rows.last().expect("the first row is never lost")
    }

    fn judge(&self, row: &Session, request: Request) -> Decision {
        let presented = token_with_key(request.generation, request.retry_key);
        if request.generation == 0 {
            redeem(row, &presented, &home(), &rules(), at(self.ms))
        } else {
            decide(row, &presented, &home(), &rules(), at(self.ms))
        }
    }

    fn step(&mut self, choice: (u8, u8)) {
        let (action, pick) = (choice.0 % 16, usize::from(choice.1));
        self.ms += 700 * u64::from(choice.1);
        match action {
            0..=2 => self.try_refresh(pick % PROCESSES),
            3..=5 => self.arrive(pick),
            6..=8 => self.commit(pick),
            9..=10 => self.deliver(pick),
            11 => self.lose_or_repeat_request(pick),
            12 => self.lose_answer(pick),
            13 => self.waiting[pick % PROCESSES] = None,
            14 => self.deciding.clear(),
            _ => self.fail_over(pick),
        }
    }

    /// The rule of the retry key: drawn and stored beside the token, create-if-absent, before anything leaves.
    fn try_refresh(&mut self, process: usize) {
        if self.waiting[process].is_some() {
            return;
        }
        let retry_key = *self.shared.retry_key.get_or_insert_with(|| {
            self.keys_drawn += 1;
            self.keys_drawn
        });
        let request = Request { process, generation: self.shared.generation, retry_key };
        self.waiting[process] = Some(request);
        self.sent.push(request);
    }

    fn arrive(&mut self, pick: usize) {
        if self.sent.is_empty() {
            return;
        }
        let request = self.sent.remove(pick % self.sent.len());
        let read = self.row().clone();
        let decision = self.judge(&read, request);
        self.deciding.push(Deciding { request, read, decision });
    }

    /// The conditional write: whoever lost the race decides again on the winner's row.
    fn commit(&mut self, pick: usize) {
        if self.deciding.is_empty() {
            return;
        }
        let at = pick % self.deciding.len();
        if self.deciding[at].decision.next.is_some()
            && self.deciding[at].read.hot.version != self.row().hot.version
        {
            let read = self.row().clone();
            let decision = self.judge(&read, self.deciding[at].request);
            self.deciding[at] = Deciding { read, decision, ..self.deciding[at].clone() };
            return;
        }
        let Deciding { request, read, decision } = self.deciding.remove(at);
        if decision.next.is_some() {
            self.rows.push(applied(read.clone(), &decision));
            self.ever_durable = self.ever_durable.max(self.row().hot.generation.0);
        }
        self.check(request, &read, &decision);
        self.answers.push(Answer { request, verdict: decision.verdict });
    }

    fn check(&mut self, request: Request, read: &Session, decision: &Decision) {
        match decision.verdict {
            Verdict::Issue { by, generation, .. } => {
                assert_ne!(by, Issue::Resync, "nobody here has a bound key");
                let first = *self.successors.entry(request.generation).or_insert(generation.0);
                assert_eq!(first, generation.0, "INV-1: two different successors of one generation");
                assert_eq!(generation, Generation(request.generation).next(), "INV-1: a successor skips");
                let again = self.judge(&applied(read.clone(), decision), request);
                let Verdict::Issue { generation: same, .. } = again.verdict else {
                    panic!("INV-6: the same request again was refused: {again:?}")
                };
                assert_eq!(same, generation, "INV-6: the same request twice, another successor");
                assert_eq!(again.next, None, "INV-6: the same request twice changed the row");
            }
            Verdict::Refuse(Refusal::Stale) => {
                let once = applied(read.clone(), decision);
                assert_eq!(once.hot.generation, read.hot.generation, "INV-8: a retriable refusal consumed");
                assert_eq!(once.hot.idle_at, read.hot.idle_at, "INV-8: a retriable refusal moved a lifetime");
                assert_eq!(self.judge(&once, request).next, None, "INV-8: counted twice");
            }
            Verdict::Refuse(Refusal::Final | Refusal::Contested | Refusal::Unbound | Refusal::Challenge) => {
                assert_eq!(
                    decision.next, None,
                    "an honest client's presentation ended or paused the session"
                );
            }
        }
        assert_eq!(decision.dispute, None, "evidence against a client that follows the rule");
        assert_eq!(self.row().hot.evidence, 0);
    }

    fn deliver(&mut self, pick: usize) {
        if self.answers.is_empty() {
            return;
        }
        let answer = self.answers.remove(pick % self.answers.len());
        let process = answer.request.process;
        if self.waiting[process].map(|request| request.generation) != Some(answer.request.generation) {
            return;
        }
        self.waiting[process] = None;
        match answer.verdict {
            Verdict::Issue { generation, .. } => {
                if self.shared.generation == answer.request.generation {
                    self.shared = Shared { generation: generation.0, retry_key: None };
                }
            }
            Verdict::Refuse(refusal) => {
                // A final answer is a question first: the store is read again, under the lock.
                assert!(
                    self.shared.generation > answer.request.generation,
                    "INV-2: signed out by {refusal:?} at generation {}",
                    answer.request.generation
                );
            }
        }
    }

    fn lose_or_repeat_request(&mut self, pick: usize) {
        if self.sent.is_empty() {
            return;
        }
        let at = pick % self.sent.len();
        if pick.is_multiple_of(2) {
            let lost = self.sent.remove(at);
            self.waiting[lost.process] = None;
        } else {
            self.sent.push(self.sent[at]);
        }
    }

    fn lose_answer(&mut self, pick: usize) {
        if self.answers.is_empty() {
            return;
        }
        let lost = self.answers.remove(pick % self.answers.len());
        self.waiting[lost.request.process] = None;
    }

    /// A replica takes over that lacks the last rotations. Births and the first redemption are replicated, and
    /// no more is lost than the policy's `failover.trust` covers.
    fn fail_over(&mut self, pick: usize) {
        self.deciding.clear();
        let lost = u32::try_from(pick % 4).expect("below 4");
        for _ in 0..lost {
            let [.., before, _] = self.rows.as_slice() else { return };
            let behind = self.ever_durable - before.hot.generation.0;
            if before.hot.generation.0 < 1 || behind > rules().failover_trust {
                return;
            }
            self.rows.pop();
        }
    }

    /// INV-7: what a client holds was durable before it was told.
    fn check_durable(&self) {
        let held = self.shared.generation;
        assert!(held <= self.ever_durable, "INV-7: acknowledged {held}, never durable");
    }

    /// Once the network heals, every process gets a fresh token.
    fn settle(&mut self) {
        self.sent.clear();
        self.deciding.clear();
        self.answers.clear();
        self.waiting = [None; PROCESSES];
        for process in 0..PROCESSES {
            let before = self.shared.generation;
            self.try_refresh(process);
            self.arrive(0);
            self.commit(0);
            self.deliver(0);
            assert_eq!(self.shared.generation, before + 1, "INV-2: no fresh token over a sound network");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PERENNIAL_WALKS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000),
        ..ProptestConfig::default()
    })]

    #[test]
    fn nobody_is_signed_out_and_no_chain_forks(walk in prop::collection::vec(any::<(u8, u8)>(), 1..400)) {
        let mut world = World::new();
        // The user is at the device for the first redemption; from there on anything may happen.
        world.settle();
        for choice in walk {
            world.step(choice);
            world.check_durable();
        }
        world.settle();
    }
}
