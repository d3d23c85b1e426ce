//! The world: virtual time, one queue of what will happen, one seed for every roll of the dice.

mod narrow;
mod plan;
mod queue;
mod sign_in;
mod trace;
mod trouble;

use std::collections::BTreeMap;
use std::fmt;

use perennial_client::engine::{
    Event, HttpAnswer, Phase, RefreshRequest, RequestId, TokenError, TransportFailure, Trouble as Told,
};
use perennial_client::{BootMillis, Clocks};
use perennial_testkit::{Rng, Seed};

pub use narrow::Narrowed;
pub use plan::{Faults, Plan, Planted, Trouble};
pub(crate) use queue::Happening;

use crate::device::{Around, Device, Did, Life, ProcessId};
use crate::invariants::{Breach, Invariants};
use crate::network::{Request, answer_arrival, request_arrivals};
use crate::server::{Served, Server, access_number};
use queue::{Queue, Waking};
use trace::Trace;

/// When worlds begin: 2027-01-15 by the true wall clock.
pub(crate) const EPOCH_MS: u64 = 1_800_000_000_000;
/// How long a process waits for an answer.
const ANSWER_WAIT_MS: u64 = 30_000;
/// How long an application waits for a token.
const CALLER_WAIT_MS: u64 = 20_000;
/// Within what time after the last fault every process must have a fresh token.
const SETTLE_MS: u64 = 60 * 60 * 1_000;

/// A world: devices, a network and a server in virtual time. See the [crate] for its run loop.
pub struct World {
    seed: Seed,
    plan: Plan,
    faults: Faults,
    dice: Rng,
    at_ms: u64,
    step: u64,
    queue: Queue,
    server: Server,
    devices: Vec<Device>,
    invariants: Invariants,
    trace: Trace,
    counts: Counts,
}

/// What has happened in a world, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Steps done.
    pub steps: u64,
    /// Virtual milliseconds passed.
    pub passed_ms: u64,
    /// Access tokens given to applications.
    pub handed_out: u64,
    /// Applications that got none within their deadline.
    pub unserved: u64,
    /// Sign-ins, the first ones included.
    pub sign_ins: u64,
    /// Troubles that befell somebody.
    pub troubles: u64,
    /// Processes and nodes killed.
    pub kills: u64,
    /// Failovers.
    pub failovers: u64,
    /// Acknowledged writes that failovers lost.
    pub lost_writes: u64,
    /// Answers of the server, by reason.
    pub answers: BTreeMap<&'static str, u64>,
}

/// An invariant that did not hold: which, where, by what seed, and all that led to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("INV-{invariant} does not hold: {what}\nstep {step} of seed {seed}\n{trace}")]
pub struct Violation {
    /// Its number in the session model.
    pub invariant: u8,
    /// What was seen.
    pub what: String,
    /// The seed that leads there again, under the same plan.
    pub seed: Seed,
    /// The step in which it was seen.
    pub step: u64,
    /// What happened before, one line a step.
    pub trace: String,
}

impl World {
    /// A world at its beginning: everybody signs in, every process starts.
    #[must_use]
    pub fn new(seed: Seed, plan: Plan) -> Self {
        let mut dice = seed.rng();
        let server = Server::new(&plan, &mut dice);
        let devices = (0..plan.devices).map(|_| Device::new(plan.processes)).collect();
        let mut world = Self {
            seed,
            faults: plan.faults.clone(),
            invariants: Invariants::new(plan.rules),
            dice,
            at_ms: 0,
            step: 0,
            queue: Queue::default(),
            server,
            devices,
            trace: Trace::new(),
            counts: Counts::default(),
            plan,
        };
        for device in 0..world.devices.len() {
            world.plan_in(0, Happening::SignIn(device));
            for process in 0..world.plan.processes {
                world.plan_in(1, Happening::Start(ProcessId { device, process }));
            }
        }
        world
    }

    /// Does so many steps.
    ///
    /// # Errors
    /// An invariant did not hold; the world stands where it was seen.
    pub fn run(&mut self, steps: u64) -> Result<(), Violation> {
        for _ in 0..steps {
            self.step()?;
        }
        Ok(())
    }

    /// Faults stop, and every process must get a token that was issued afterwards: within an hour, by itself.
    ///
    /// # Errors
    /// Somebody did not (INV-2), or an invariant did not hold on the way.
    pub fn settle(&mut self) -> Result<(), Violation> {
        let since_ms = self.at_ms;
        self.note(format_args!("faults stop"));
        self.faults = Faults::none();
        for node in 0..self.server.nodes.len() {
            self.node_up(node);
        }
        for id in self.everybody() {
            let process = &self.devices[id.device].processes[id.process];
            let life = Life { of: id, number: process.lives };
            if process.running.is_none() {
                self.start(id);
            } else if process.is_suspended {
                self.resume(life, Waking::FromSleep);
            }
        }
        while !self.everybody().into_iter().all(|id| self.is_fresh(id, since_ms)) {
            self.step()?;
            if self.at_ms > since_ms + SETTLE_MS {
                let late: Vec<_> =
                    self.everybody().into_iter().filter(|id| !self.is_fresh(*id, since_ms)).collect();
                let what = format!("an hour after the last fault, no fresh token for {late:?}");
                return Err(self.violation(Breach::new(2, what)));
            }
        }
        Ok(())
    }

    /// A number over all that has happened: the same for the same seed, plan and calls.
    #[must_use]
    pub const fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// What has happened, one line a step.
    #[must_use]
    pub fn trace(&self) -> String {
        self.trace.text()
    }

    /// What has happened, counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { steps: self.step, passed_ms: self.at_ms, ..self.counts.clone() }
    }

    fn step(&mut self) -> Result<(), Violation> {
        self.step += 1;
        if self.dice.below(1_000) < u64::from(self.faults.troubles_per_mille)
            && let Some(trouble) = self.dice.pick(&self.faults.troubles).copied()
        {
            self.befall(trouble);
        }
        let (at_ms, what) = self.queue.next().expect("applications never stop asking for tokens");
        self.at_ms = self.at_ms.max(at_ms);
        let went = self.happen(what).and_then(|()| self.invariants.rows_hold(&self.server.table));
        went.map_err(|breach| self.violation(breach))
    }

    fn happen(&mut self, what: Happening) -> Result<(), Breach> {
        match what {
            Happening::Act(life) => self.act(life),
            Happening::Wake(life, at) => {
                self.wake(life, at);
                Ok(())
            }
            Happening::Want(life) => {
                self.want(life);
                Ok(())
            }
            Happening::Reach(life, event) => {
                self.reach(life, event);
                Ok(())
            }
            Happening::Start(id) => {
                self.start(id);
                Ok(())
            }
            Happening::Resume(life, waking) => {
                self.resume(life, waking);
                Ok(())
            }
            Happening::SignIn(device) => self.maybe_sign_in(device),
            Happening::Arrive(request) => {
                self.arrive(request);
                Ok(())
            }
            Happening::Serve(id) => self.serve(id),
            Happening::NodeUp(node) => {
                self.node_up(node);
                Ok(())
            }
        }
    }

    fn act(&mut self, life: Life) -> Result<(), Breach> {
        let ProcessId { device, process } = life.of;
        if !self.is_current(life) {
            return Ok(());
        }
        let clocks = self.clocks(device);
        let this = &mut self.devices[device];
        if let Some(running) = &mut this.processes[process].running {
            running.is_planned = false;
        }
        if this.processes[process].is_suspended {
            return Ok(());
        }
        let mut around = Around {
            clocks,
            dice: &mut self.dice,
            failing_files: self.faults.failing_files,
            planted: self.plan.planted,
        };
        if let Some(did) = this.act(process, &mut around) {
            self.follow(life, did)?;
        }
        self.plan_act(life.of);
        Ok(())
    }

    /// What others notice of a process's step.
    fn follow(&mut self, life: Life, did: Did) -> Result<(), Breach> {
        let ProcessId { device, process } = life.of;
        match did {
            Did::Handled(event) => self.note(format_args!("{life} takes in: {event}")),
            Did::Inside(what) => self.note(format_args!("{life} {what}")),
            Did::PassedLock(next) => {
                self.note(format_args!("{life} unlocked, for process {next}"));
                self.plan_act(ProcessId { device, process: next });
            }
            Did::Sent(request) => self.send(life, request),
            Did::AskedToBeWoken(at) => {
                let in_ms = at.since_ms(self.clocks(device).boot);
                self.plan_in(in_ms, Happening::Wake(life, at));
            }
            Did::StoredTokens => {
                let tokens = self.devices[device].file.as_ref().and_then(|file| file.tokens.as_ref());
                let access = tokens.and_then(|tokens| tokens.access_token.as_ref());
                let number = access.map_or(0, |access| access_number(access.secret.expose()));
                self.note(format_args!("{life} stored access token {number}"));
                self.invariants.access_stored(number);
            }
            Did::HandedOut { access, serial } => self.handed_out(life, access, serial)?,
            Did::Failed(error) => self.failed(life, &error)?,
            Did::Published(phase) => {
                self.note(format_args!("{life} is {}", phase.name()));
                if matches!(phase, Phase::Paused | Phase::Challenged) {
                    return Err(Breach::new(2, format!("an honest client is {}", phase.name())));
                }
            }
            Did::SignedOut => self.signed_out(life)?,
            Did::StoredWithoutLock => {
                return Err(Breach::new(2, format!("process {process} stored without the lock")));
            }
        }
        Ok(())
    }

    fn send(&mut self, life: Life, sent: RefreshRequest) {
        let request = Request {
            from: life,
            id: sent.id,
            token: sent.refresh_token.expose().to_owned(),
            retry_key: sent.retry_key.map(|key| key.expose().to_owned()),
            holder: self.plan.holder,
            context: self.context(life.of.device),
        };
        let arrivals = request_arrivals(&mut self.dice, &self.faults);
        self.note(format_args!("{life} sent request {}, to arrive in {arrivals:?} ms", sent.id.0));
        for in_ms in arrivals {
            self.plan_in(in_ms, Happening::Arrive(request.clone()));
        }
        let failure = TransportFailure::Interrupted("no answer in time".to_owned());
        self.plan_in(ANSWER_WAIT_MS, Happening::Reach(life, Event::TransportFailed(sent.id, failure)));
    }

    fn handed_out(&mut self, life: Life, number: u64, serial: u64) -> Result<(), Breach> {
        let access = self.invariants.handed_out(number)?;
        self.counts.handed_out += 1;
        self.note(format_args!("{life} handed out access token {number}"));
        let is_refused = access.expires_ms <= self.at_ms || self.invariants.is_over(access.sid, self.at_ms);
        let ProcessId { device, process } = life.of;
        if !is_refused {
            self.devices[device].processes[process].last_access = Some(number);
            return Ok(());
        }
        // The application calls an API with it, most of the time.
        if self.dice.chance(80) {
            let deadline = self.clocks(device).boot.plus_ms(CALLER_WAIT_MS);
            if let Some(running) = &mut self.devices[device].processes[process].running {
                let caller = running.caller();
                self.devices[device].tell(process, Event::ApiRefused { caller, serial, deadline });
            }
        }
        Ok(())
    }

    fn failed(&mut self, life: Life, error: &TokenError) -> Result<(), Breach> {
        self.counts.unserved += 1;
        self.note(format_args!("{life} has no token: {error}"));
        let trouble = match error {
            TokenError::Unavailable(_) | TokenError::Ended => return Ok(()),
            TokenError::Attend(trouble) => trouble,
        };
        match trouble {
            Told::SignedOut(_) => self.signed_out(life),
            Told::NeverSignedIn
            | Told::NoRefreshToken
            | Told::Client(_)
            | Told::StepUp(_)
            | Told::Confirm(_) => {
                Err(Breach::new(2, format!("an honest client is sent to its user: {trouble}")))
            }
            Told::Transport(_)
            | Told::Store(_)
            | Told::Unbelievable(_)
            | Told::Busy(_)
            | Told::NewerElsewhere(_)
            | Told::UnknownRefusal(_)
            | Told::BornExpired
            | Told::ApiRefusesFreshToken => Ok(()),
        }
    }

    /// An engine holds its sign-in to be over: true of the session, or a breach. Its user signs in again.
    fn signed_out(&mut self, life: Life) -> Result<(), Breach> {
        let ProcessId { device, process } = life.of;
        let running = self.devices[device].processes[process].running.as_ref();
        let dead = running
            .and_then(|running| running.engine.credentials())
            .and_then(|credentials| credentials.set_aside.last())
            .and_then(|dead| dead.session.as_ref()?.id.parse().ok());
        self.note(format_args!("{life} is signed out"));
        self.invariants.signed_out(dead, self.at_ms)?;
        let in_ms = 1_000 + self.dice.below(60_000);
        self.plan_in(in_ms, Happening::SignIn(device));
        Ok(())
    }

    fn maybe_sign_in(&mut self, device: usize) -> Result<(), Breach> {
        let lives = self.session_in_file(device).is_some_and(|sid| !self.invariants.is_over(sid, self.at_ms));
        if lives {
            return Ok(());
        }
        let node = (0..self.server.nodes.len()).find(|node| self.server.nodes[*node].is_up);
        match node {
            Some(node) if !self.devices[device].is_locked() => {
                self.note(format_args!("the user of device {device} signs in"));
                self.sign_in(device, node)
            }
            Some(_) | None => {
                self.plan_in(1_000, Happening::SignIn(device));
                Ok(())
            }
        }
    }

    fn arrive(&mut self, request: Request) {
        let node = self.dice.index(self.server.nodes.len());
        let (from, id) = (request.from, request.id);
        match self.server.arrive(node, request) {
            Some(handling) => {
                self.note(format_args!("request {} of {from} arrived at node {node}, as {handling}", id.0));
                self.plan_serve(handling);
            }
            None => {
                self.note(format_args!("request {} of {from} found node {node} down", id.0));
                let failure = TransportFailure::Unreachable("connection refused".to_owned());
                self.plan_in(1, Happening::Reach(from, Event::TransportFailed(id, failure)));
            }
        }
    }

    fn serve(&mut self, handling: u64) -> Result<(), Breach> {
        match self.server.serve(handling, self.at_ms, self.step, &mut self.invariants)? {
            Served::Gone => {}
            Served::GoesOn(what) => {
                self.note(format_args!("the server {what}, for {handling}"));
                self.plan_serve(handling);
            }
            Served::Answers { to, answer, reason, goes_on } => {
                self.note(format_args!("the server answers {handling}: {reason}"));
                *self.counts.answers.entry(reason.as_str()).or_default() += 1;
                self.answer(to.from, to.id, answer);
                if goes_on {
                    self.plan_serve(handling);
                }
            }
        }
        Ok(())
    }

    fn answer(&mut self, to: Life, id: RequestId, answer: HttpAnswer) {
        if let Some((in_ms, answer)) = answer_arrival(&mut self.dice, &self.faults, answer) {
            self.plan_in(in_ms, Happening::Reach(to, Event::Answered(id, answer)));
        }
    }

    fn start(&mut self, id: ProcessId) {
        if self.devices[id.device].processes[id.process].running.is_some() {
            return;
        }
        let clocks = self.clocks(id.device);
        let mut around = Around { clocks, dice: &mut self.dice, failing_files: 0, planted: None };
        let number = self.devices[id.device].start(id.process, &mut around);
        let life = Life { of: id, number };
        self.note(format_args!("{life} starts"));
        self.plan_act(id);
        self.plan_in(1, Happening::Want(life));
    }

    fn resume(&mut self, life: Life, waking: Waking) {
        let process = &mut self.devices[life.of.device].processes[life.of.process];
        if process.lives != life.number || !process.is_suspended {
            return;
        }
        process.is_suspended = false;
        if waking == Waking::FromSleep {
            self.devices[life.of.device].tell(life.of.process, Event::Woke);
        }
        self.note(format_args!("{life} goes on"));
        self.plan_act(life.of);
        self.plan_in(1, Happening::Want(life));
    }

    fn wake(&mut self, life: Life, at: BootMillis) {
        if !self.is_current(life) {
            return;
        }
        let device = &mut self.devices[life.of.device];
        let Some(running) = &mut device.processes[life.of.process].running else { return };
        if running.wake_at == Some(at) {
            running.wake_at = None;
            device.tell(life.of.process, Event::Timer);
            self.plan_act(life.of);
        }
    }

    /// An application asks, and asks again; a suspended process's goes on asking when it goes on.
    fn want(&mut self, life: Life) {
        let ProcessId { device, process } = life.of;
        if !self.is_current(life) || self.devices[device].processes[process].is_suspended {
            return;
        }
        let deadline = self.clocks(device).boot.plus_ms(CALLER_WAIT_MS);
        if let Some(running) = &mut self.devices[device].processes[process].running {
            let caller = running.caller();
            self.devices[device].tell(process, Event::TokenWanted { caller, min_ttl_ms: 0, deadline });
            self.plan_act(life.of);
        }
        // Often enough that most tokens are asked for more than once.
        let again_in_ms = 1_000 + self.dice.below(self.plan.rules.access_lifetime_ms);
        self.plan_in(again_in_ms, Happening::Want(life));
    }

    fn reach(&mut self, life: Life, event: Event) {
        if self.is_current(life) {
            self.devices[life.of.device].tell(life.of.process, event);
            self.plan_act(life.of);
        }
    }

    fn node_up(&mut self, node: usize) {
        if !self.server.nodes[node].is_up {
            self.server.start(node, self.at_ms);
            self.note(format_args!("node {node} starts"));
        }
    }

    fn plan_in(&mut self, in_ms: u64, what: Happening) {
        self.queue.plan(self.at_ms.saturating_add(in_ms), what);
    }

    fn plan_act(&mut self, id: ProcessId) {
        let process = &mut self.devices[id.device].processes[id.process];
        let life = Life { of: id, number: process.lives };
        let is_suspended = process.is_suspended;
        let Some(running) = &mut process.running else { return };
        if !running.is_planned && !is_suspended && running.has_work() {
            running.is_planned = true;
            let in_ms = if self.dice.chance(3) { self.dice.below(500) } else { self.dice.below(4) };
            self.plan_in(in_ms, Happening::Act(life));
        }
    }

    fn plan_serve(&mut self, handling: u64) {
        let in_ms = if self.dice.chance(3) { self.dice.below(2_000) } else { self.dice.below(4) };
        self.plan_in(in_ms, Happening::Serve(handling));
    }

    fn clocks(&self, device: usize) -> Clocks {
        self.devices[device].clocks(EPOCH_MS + self.at_ms, self.at_ms)
    }

    fn is_current(&self, life: Life) -> bool {
        let process = &self.devices[life.of.device].processes[life.of.process];
        process.running.is_some() && process.lives == life.number
    }

    fn everybody(&self) -> Vec<ProcessId> {
        let processes = self.plan.processes;
        (0..self.devices.len())
            .flat_map(|device| (0..processes).map(move |process| ProcessId { device, process }))
            .collect()
    }

    fn is_fresh(&self, id: ProcessId, since_ms: u64) -> bool {
        let last = self.devices[id.device].processes[id.process].last_access;
        last.and_then(|number| self.invariants.access(number))
            .is_some_and(|access| access.issued_ms >= since_ms && access.expires_ms > self.at_ms)
    }

    fn note(&mut self, what: fmt::Arguments<'_>) {
        self.trace.line(self.at_ms, what);
    }

    fn violation(&self, breach: Breach) -> Violation {
        let Breach { invariant, what } = breach;
        Violation { invariant, what, seed: self.seed, step: self.step, trace: self.trace.text() }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("seed", &self.seed).field("step", &self.step).finish_non_exhaustive()
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}#{}", self.of.device, self.of.process, self.number)
    }
}
