//! The engine: one state machine that decides everything and does nothing.
//!
//! **After every input, drain the output.** Call [`Engine::handle`] with what happened, both clocks and fresh
//! entropy; then call [`Engine::poll`] until it returns `None` and do what it says, in order. The engine has no
//! clock, no random source, no socket and no file, so a driver is small, and a simulator can run thousands of them
//! with crashes between any two actions.
//!
//! The methods come in families: `handle` takes events in, `poll` gives actions out, getters tell what is known.
//!
//! # Guarantees
//! - Nothing is sent before the retry key of the attempt is stored beside its token; every try for one token, by
//!   any process, before or after a crash, sends the same key.
//! - Nobody gets a token that is not stored.
//! - At most one refresh is in flight, under the store's lock.
//! - A token that still lives is served while refreshes fail.
//! - Only a well-formed OAuth error signs out, and only after the store was read again under the lock.
//!
//! ```
//! use perennial_client::engine::{Action, CallerId, Engine, Event};
//! use perennial_client::{BootMillis, Clocks, Credentials, Entropy, Secret};
//!
//! let imported = Credentials::from_refresh_token(
//!     "https://id.example.org", "app", "https://id.example.org/token", Secret::from("rt-1"));
//! let mut engine = Engine::new(Some(imported));
//! let wanted = Event::TokenWanted { caller: CallerId(1), min_ttl_ms: 0, deadline: BootMillis(10_000) };
//! engine.handle(wanted, Clocks::default(), Entropy([7; 32]));
//! assert!(matches!(engine.poll(), Some(Action::Lock)));
//! ```

mod answer;
mod event;
mod refresh;
mod schedule;
mod state;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub use answer::{Disbelief, HttpAnswer, Outcome, Refusal, Remedy, read_answer};
pub use event::{
    Action, CallerId, Event, HandedOut, Note, RefreshRequest, RequestId, StoreFailure, Storing,
    TransportFailure,
};
#[cfg(feature = "login")]
pub(crate) use schedule::retry_delay_ms;
pub use state::{Advice, Phase, State, TokenError, Trouble};

use crate::clocks::{BootMillis, Clocks, Entropy};
use crate::credentials::{AccessToken, Credentials, Tokens};
use refresh::Step;

/// How long a forced refresh (after an API's 401) keeps the next one off.
const FORCED_APART_MS: u64 = 60_000;
/// How often a signed-out engine looks whether somebody has signed in meanwhile.
const LOOK_APART_MS: u64 = 1_000;

/// Keeps one sign-in alive. See the [module](self) for how it is driven.
#[derive(Debug)]
pub struct Engine {
    /// As last read from or written to the store.
    credentials: Option<Credentials>,
    /// What ended the sign-in, if anything did.
    ended: Option<Trouble>,
    /// The tries that failed in a row.
    failure: Option<Failure>,
    step: Step,
    waiting: Vec<Waiting>,
    /// When this engine renews the current token: drawn once a token.
    renew_at: Option<BootMillis>,
    /// No refresh starts before: the network needs a moment after waking.
    not_before: BootMillis,
    /// The serial of a token that an API refused and that a refresh is to replace.
    refused: Option<u64>,
    /// When a refused token was last replaced.
    forced_at: Option<BootMillis>,
    api_refuses_fresh: bool,
    looked_at: Option<BootMillis>,
    next_request: u64,
    out: VecDeque<Action>,
    published: Option<State>,
    wake_at: Option<BootMillis>,
}

#[derive(Debug)]
struct Failure {
    tries: u32,
    unknown_refusals: u32,
    trouble: Trouble,
    retry_at: BootMillis,
    retry_in_ms: u64,
    failed_at: Clocks,
}

#[derive(Debug)]
struct Waiting {
    caller: CallerId,
    min_ttl_ms: u64,
    deadline: BootMillis,
    /// An API refused the token with this serial: another one is wanted.
    not_serial: Option<u64>,
}

impl Engine {
    /// An engine for what the store holds. Give it an [`Event::Timer`] to set it going.
    pub fn new(stored: Option<Credentials>) -> Self {
        let mut engine = Self {
            credentials: stored,
            ended: None,
            failure: None,
            step: Step::Idle,
            waiting: Vec::new(),
            renew_at: None,
            not_before: BootMillis(0),
            refused: None,
            forced_at: None,
            api_refuses_fresh: false,
            looked_at: None,
            next_request: 0,
            out: VecDeque::new(),
            published: None,
            wake_at: None,
        };
        engine.ended = engine.ended_by_the_store();
        engine
    }

    /// Takes an event in. Drain [`poll`](Self::poll) afterwards.
    pub fn handle(&mut self, event: Event, now: Clocks, entropy: Entropy) {
        match event {
            Event::TokenWanted { caller, min_ttl_ms, deadline } => {
                self.waiting.push(Waiting { caller, min_ttl_ms, deadline, not_serial: None });
            }
            Event::ApiRefused { caller, serial, deadline } => {
                self.api_refused(caller, serial, deadline, &now);
            }
            Event::CallerGone(caller) => self.waiting.retain(|waiting| waiting.caller != caller),
            Event::Timer => self.wake_at = None,
            Event::Woke => self.woke(&now, &entropy),
            Event::LockTaken => self.lock_taken(),
            Event::LockFailed(failure) => self.lock_failed(failure, &now, &entropy),
            Event::Loaded(stored) => self.loaded(stored.map(|stored| *stored), &now, &entropy),
            Event::LoadFailed(failure) => self.load_failed(failure, &now, &entropy),
            Event::Stored => self.stored(&now, &entropy),
            Event::StoreFailed(failure) => self.store_failed(failure, &now, &entropy),
            Event::Answered(id, answer) => self.answered(id, &answer, &now, &entropy),
            Event::TransportFailed(id, failure) => self.transport_failed(id, failure, &now, &entropy),
            Event::OtherStored(stored) => self.other_stored(*stored, &now, &entropy),
        }
        self.settle(&now, &entropy);
    }

    /// The next thing to do, in order; `None` when there is nothing until the next event.
    pub fn poll(&mut self) -> Option<Action> {
        self.out.pop_front()
    }

    /// The token that is stored and may be handed out at once, if it still lives at `now`.
    pub fn live_token(&self, now: &Clocks) -> Option<HandedOut> {
        let (serial, token) = self.current()?;
        let live = self.ended.is_none() && token.is_live(now);
        live.then(|| HandedOut { serial, token: token.clone() })
    }

    /// The state as last published.
    pub fn state(&self) -> Option<&State> {
        self.published.as_ref()
    }

    /// The credentials as last read from or written to the store.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    fn tokens(&self) -> Option<&Tokens> {
        self.credentials.as_ref().and_then(|credentials| credentials.tokens.as_ref())
    }

    fn current(&self) -> Option<(u64, &AccessToken)> {
        let tokens = self.tokens()?;
        Some((tokens.serial, tokens.access_token.as_ref()?))
    }

    fn serial(&self) -> u64 {
        self.tokens().map_or(0, |tokens| tokens.serial)
    }

    fn is_live(&self, now: &Clocks) -> bool {
        self.current().is_some_and(|(_, token)| token.is_live(now))
    }

    /// A refused token is replaced once; if its successor is refused too, that is a state, not a loop.
    fn api_refused(&mut self, caller: CallerId, serial: u64, deadline: BootMillis, now: &Clocks) {
        self.out.push_back(Action::Note(Note::ApiRefused { serial }));
        let already_replaced = serial != self.serial();
        let too_soon = self.forced_at.is_some_and(|at| now.boot.since_ms(at) < FORCED_APART_MS);
        if !already_replaced && self.refused != Some(serial) {
            if too_soon {
                self.api_refuses_fresh = true;
                let trouble = Trouble::ApiRefusesFreshToken;
                self.out.push_back(Action::Fail(caller, TokenError::Attend(trouble)));
                return;
            }
            self.refused = Some(serial);
            self.forced_at = Some(now.boot);
        }
        self.waiting.push(Waiting { caller, min_ttl_ms: 0, deadline, not_serial: Some(serial) });
    }

    /// After sleep the network needs a moment, and a fleet that wakes together must not come together.
    fn woke(&mut self, now: &Clocks, entropy: &Entropy) {
        self.wake_at = None;
        let spread_ms = if self.is_live(now) { 3_000 } else { 300 };
        self.not_before = now.boot.plus_ms(entropy.roll() % spread_ms);
        if let Some(failure) = &mut self.failure
            && matches!(failure.trouble, Trouble::Transport(_))
        {
            failure.tries = 1;
            failure.retry_at = self.not_before;
        }
    }

    /// What follows from any event, in one place: serve, work, fail, publish, ask to be woken.
    fn settle(&mut self, now: &Clocks, entropy: &Entropy) {
        if self.renew_at.is_none()
            && let Some((_, token)) = self.current()
        {
            let age = now.age_ms(&token.asked_at).unwrap_or(u64::MAX);
            let due = schedule::renewal_age_ms(token, entropy.roll());
            self.renew_at = Some(now.boot.plus_ms(due.saturating_sub(age)));
        }
        self.end_without_refresh_token(now);
        self.serve_waiting(now);
        self.work(now);
        self.fail_waiting(now);
        self.publish(now);
        self.ask_to_be_woken(now);
    }

    fn end_without_refresh_token(&mut self, now: &Clocks) {
        let no_refresh_token = self.tokens().is_some_and(|tokens| tokens.refresh_token.is_none());
        if self.ended.is_none() && no_refresh_token && !self.is_live(now) {
            self.ended = Some(Trouble::NoRefreshToken);
        }
    }

    fn serve_waiting(&mut self, now: &Clocks) {
        let Some(handed_out) = self.live_token(now) else { return };
        let waiting = std::mem::take(&mut self.waiting);
        for waiting in waiting {
            if self.is_served_by(&waiting, now) {
                self.out.push_back(Action::HandOut(waiting.caller, handed_out.clone()));
            } else {
                self.waiting.push(waiting);
            }
        }
    }

    /// A wish for more life than is left yields when refreshes fail: a short token is better than none.
    fn is_served_by(&self, waiting: &Waiting, now: &Clocks) -> bool {
        let Some((serial, token)) = self.current() else { return false };
        let promised_ms = waiting.min_ttl_ms.min(token.lifetime_ms / 2);
        let cannot_do_better = self.failure.is_some() || self.refresh_token().is_none();
        waiting.not_serial != Some(serial)
            && token.is_live(now)
            && (token.remaining_ms(now) >= promised_ms || cannot_do_better)
    }

    /// Whether a refresh should start now, or go on after the store was read.
    fn refresh_is_due(&self, now: &Clocks) -> bool {
        if self.ended.is_some() || self.refresh_token().is_none() || now.boot < self.not_before {
            return false;
        }
        if let Some(failure) = &self.failure {
            return now.boot >= failure.retry_at;
        }
        let Some((serial, token)) = self.current() else { return true };
        self.renew_at.is_some_and(|at| now.boot >= at)
            || schedule::is_late(token, now)
            || self.refused == Some(serial)
            || self.waiting.iter().any(|waiting| !self.is_served_by(waiting, now))
    }

    fn fail_waiting(&mut self, now: &Clocks) {
        let at_rest = matches!(self.step, Step::Idle);
        let hopeless = match (&self.ended, &self.failure) {
            (Some(trouble), _) => Some(trouble),
            (None, Some(failure)) => Some(&failure.trouble).filter(|trouble| trouble.needs_somebody()),
            (None, None) => None,
        };
        // Not before the story is stored: a caller that gives up may end the process.
        let hopeless = hopeless.filter(|_| at_rest).cloned();
        let trouble = self.failure.as_ref().map(|failure| failure.trouble.clone());
        let waiting = std::mem::take(&mut self.waiting);
        for waiting in waiting {
            if let Some(trouble) = &hopeless {
                self.out.push_back(Action::Fail(waiting.caller, TokenError::Attend(trouble.clone())));
            } else if now.boot >= waiting.deadline {
                let error = TokenError::Unavailable(trouble.clone());
                self.out.push_back(Action::Fail(waiting.caller, error));
            } else {
                self.waiting.push(waiting);
            }
        }
    }

    fn publish(&mut self, now: &Clocks) {
        let state = self.derive_state(now);
        if self.published.as_ref() != Some(&state) {
            self.published = Some(state.clone());
            self.out.push_back(Action::Publish(state));
        }
    }

    fn derive_state(&self, now: &Clocks) -> State {
        let phase = self.phase(now);
        let facts = self.credentials.as_ref().and_then(|credentials| credentials.session.as_ref());
        let from_failure = self.failure.as_ref().map(|failure| failure.trouble.clone());
        let trouble = self.ended.clone().or(from_failure);
        let needs_somebody = trouble.as_ref().is_some_and(Trouble::needs_somebody);
        let advice = match (phase, facts.and_then(|facts| facts.advice.as_deref())) {
            (Phase::SignedOut | Phase::Paused | Phase::Challenged, _) => Advice::Attend,
            _ if needs_somebody => Advice::Attend,
            (_, Some("attend")) => Advice::Attend,
            (Phase::Expiring | Phase::ExpiredRetrying | Phase::Limited | Phase::Ending, _) => Advice::Warn,
            (Phase::Fresh | Phase::Renewing, Some("warn")) => Advice::Warn,
            (Phase::Fresh | Phase::Renewing, _) if self.api_refuses_fresh => Advice::Warn,
            (Phase::Fresh | Phase::Renewing, _) => Advice::Fetch,
        };
        let retry_at = |failure: &Failure| failure.failed_at.wall.plus_ms(failure.retry_in_ms);
        State {
            phase,
            advice,
            expires_at: self.current().map(|(_, token)| token.expires_at()),
            retry_at: self.failure.as_ref().filter(|_| self.ended.is_none()).map(retry_at),
            ends_at: facts.and_then(|facts| facts.ends_at),
            missing_scope: facts.and_then(|facts| facts.missing_scope.clone()),
            trouble: trouble.or_else(|| self.api_refuses_fresh.then_some(Trouble::ApiRefusesFreshToken)),
        }
    }

    fn phase(&self, now: &Clocks) -> Phase {
        if self.ended.is_some() {
            return Phase::SignedOut;
        }
        let facts = self.credentials.as_ref().and_then(|credentials| credentials.session.as_ref());
        match self.failure.as_ref().map(|failure| &failure.trouble) {
            Some(Trouble::Confirm(_)) => Phase::Paused,
            Some(Trouble::StepUp(_)) => Phase::Challenged,
            Some(_) if self.is_live(now) => Phase::Expiring,
            Some(_) => Phase::ExpiredRetrying,
            None if !matches!(self.step, Step::Idle) || !self.is_live(now) => Phase::Renewing,
            None => match facts.map(|facts| facts.state.as_str()) {
                Some("limited") => Phase::Limited,
                Some("ending") => Phase::Ending,
                Some(_) | None => Phase::Fresh,
            },
        }
    }

    fn ask_to_be_woken(&mut self, now: &Clocks) {
        let at_rest = matches!(self.step, Step::Idle) && self.ended.is_none();
        let expiry = self.current().filter(|(_, token)| token.is_live(now)).map(|(_, token)| {
            let margin_ms = (token.lifetime_ms / 20).min(1_000);
            now.boot.plus_ms(token.remaining_ms(now).saturating_sub(margin_ms))
        });
        let retry = self.failure.as_ref().map(|failure| failure.retry_at);
        let saving = retry.filter(|_| matches!(self.step, Step::Unsaved(_)));
        let renewal = retry.or(self.renew_at).map(|at| at.max(self.not_before)).filter(|_| at_rest);
        let gate = Some(self.not_before).filter(|_| at_rest);
        let deadlines = self.waiting.iter().map(|waiting| waiting.deadline);
        let wakes = deadlines.chain([expiry, saving, renewal, gate].into_iter().flatten());
        let next = wakes.filter(|at| *at > now.boot).min();
        if next != self.wake_at
            && let Some(at) = next
        {
            self.out.push_back(Action::WakeAt(at));
        }
        self.wake_at = next;
    }
}
