//! One refresh, step by step: lock, read, store the key, send, store the tokens, unlock. Every step waits for one
//! event, and whatever goes wrong at it ends in the same place: unlocked, with a time for the next try.

use crate::clocks::{Clocks, Entropy};
use crate::credentials::{Credentials, RetryKey, SetAside, Story};
use crate::engine::answer::{HttpAnswer, Outcome, Refusal, Remedy, read_answer};
use crate::engine::event::{
    Action, Note, RefreshRequest, RequestId, StoreFailure, Storing, TransportFailure,
};
use crate::engine::state::Trouble;
use crate::engine::{Engine, Failure, LOOK_APART_MS, schedule};
use crate::secret::Secret;

/// How often an error that no standard knows is tried again before it is believed.
const UNKNOWN_REFUSALS_MAX: u32 = 5;

/// What the engine waits for.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing.
    Idle,
    /// The lock.
    Locking,
    /// What the store holds, under the lock.
    Reading,
    /// The retry key to be durable.
    StoringKey(Box<Credentials>),
    /// The answer.
    Sending { id: RequestId, asked_at: Clocks },
    /// The new tokens to be durable.
    StoringTokens(Box<Credentials>),
    /// The time to try again to store new tokens. The lock stays taken: they exist nowhere else.
    Unsaved(Box<Credentials>),
    /// What the store holds now that the server has refused: `invalid_grant` is a question first.
    Questioning(Box<Refusal>),
    /// The story of dead tokens to be durable.
    SettingAside,
    /// What the store holds, without the lock: has somebody signed in meanwhile?
    Looking,
}

impl Engine {
    /// Starts what is due.
    pub(super) fn work(&mut self, now: &Clocks) {
        match &self.step {
            Step::Idle if self.refresh_is_due(now) => {
                self.step = Step::Locking;
                self.out.push_back(Action::Lock);
            }
            Step::Idle if self.ended.is_some() && !self.waiting.is_empty() => {
                let looked = self.looked_at.is_some_and(|at| now.boot.since_ms(at) < LOOK_APART_MS);
                if !looked {
                    self.looked_at = Some(now.boot);
                    self.step = Step::Looking;
                    self.out.push_back(Action::Read);
                }
            }
            Step::Unsaved(credentials) => {
                if self.failure.as_ref().is_none_or(|failure| now.boot >= failure.retry_at) {
                    let credentials = credentials.clone();
                    self.store_tokens(credentials);
                }
            }
            Step::Idle
            | Step::Locking
            | Step::Reading
            | Step::StoringKey(_)
            | Step::Sending { .. }
            | Step::StoringTokens(_)
            | Step::Questioning(_)
            | Step::SettingAside
            | Step::Looking => {}
        }
    }

    #[cfg(test)]
    pub(super) fn step_is_idle(&self) -> bool {
        matches!(self.step, Step::Idle)
    }

    pub(super) fn refresh_token(&self) -> Option<&Secret> {
        self.credentials.as_ref().and_then(Credentials::refresh_token)
    }

    pub(super) fn lock_taken(&mut self) {
        if matches!(self.step, Step::Locking) {
            self.step = Step::Reading;
            self.out.push_back(Action::Read);
        } else {
            self.out.push_back(Action::Unlock);
        }
    }

    pub(super) fn lock_failed(&mut self, failure: StoreFailure, now: &Clocks, entropy: &Entropy) {
        if matches!(self.step, Step::Locking) {
            self.step = Step::Idle;
            self.fail(Trouble::Store(failure), None, now, entropy);
        }
    }

    pub(super) fn loaded(&mut self, stored: Option<Credentials>, now: &Clocks, entropy: &Entropy) {
        match std::mem::replace(&mut self.step, Step::Idle) {
            Step::Reading => self.loaded_before_refresh(stored, now, entropy),
            Step::Questioning(refusal) => self.loaded_after_refusal(stored, refusal, now, entropy),
            Step::Looking => {
                if let Some(stored) = stored.filter(|stored| self.is_news(stored)) {
                    self.adopt(stored);
                }
            }
            other @ (Step::Idle
            | Step::Locking
            | Step::StoringKey(_)
            | Step::Sending { .. }
            | Step::StoringTokens(_)
            | Step::Unsaved(_)
            | Step::SettingAside) => self.step = other,
        }
    }

    /// Under the lock, before anything is sent: another process may have done the work.
    fn loaded_before_refresh(&mut self, stored: Option<Credentials>, now: &Clocks, entropy: &Entropy) {
        let was_there = stored.is_some();
        match stored {
            Some(stored) if self.is_news(&stored) => self.adopt(stored),
            Some(stored) => self.credentials = Some(stored),
            // Somebody moved the file away. What this process holds is stored again before it is used.
            None => {}
        }
        if !self.refresh_is_due(now) {
            return self.release();
        }
        self.begin_attempt(was_there, now, entropy);
    }

    /// The key first, create-if-absent; then the request.
    fn begin_attempt(&mut self, is_stored: bool, now: &Clocks, entropy: &Entropy) {
        let Some(credentials) = &self.credentials else { return self.release() };
        let Some(token) = credentials.refresh_token().cloned() else { return self.release() };
        match credentials.with_retry_key_if_absent(&token, RetryKey::draw(entropy)) {
            Ok((_, None)) if is_stored => self.send(now),
            Ok((_, next)) => {
                let next = Box::new(next.unwrap_or_else(|| credentials.clone()));
                self.step = Step::StoringKey(next.clone());
                self.out.push_back(Action::Store(next, Storing::RetryKey));
            }
            Err(_) => self.release(),
        }
    }

    fn send(&mut self, now: &Clocks) {
        let Some(credentials) = &self.credentials else { return self.release() };
        let Some(refresh_token) = credentials.refresh_token().cloned() else { return self.release() };
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let welcome = credentials.may_send_retry_key();
        let request = RefreshRequest {
            id,
            token_endpoint: credentials.token_endpoint.clone(),
            client_id: credentials.client_id.clone(),
            refresh_token,
            retry_key: credentials.retry_key.clone().filter(|_| welcome),
        };
        let attempt = self.failure.as_ref().map_or(0, |failure| failure.tries) + 1;
        self.out.push_back(Action::Note(Note::RefreshSent { serial: self.serial(), attempt }));
        self.step = Step::Sending { id, asked_at: *now };
        self.out.push_back(Action::Send(request));
    }

    pub(super) fn answered(&mut self, id: RequestId, answer: &HttpAnswer, now: &Clocks, entropy: &Entropy) {
        let Step::Sending { id: awaited, asked_at } = self.step else { return };
        if awaited != id {
            return;
        }
        match read_answer(answer, &asked_at, now) {
            Outcome::Issued(issued) => {
                let Some(credentials) = &self.credentials else { return self.release() };
                let next = Box::new(credentials.with_new_tokens(*issued));
                self.store_tokens(next);
            }
            Outcome::Refused(refusal) => self.refused(refusal, now, entropy),
            Outcome::Unbelievable { why, retry_after_ms } => {
                self.release();
                self.fail(Trouble::Unbelievable(why), retry_after_ms, now, entropy);
            }
        }
    }

    fn refused(&mut self, refusal: Box<Refusal>, now: &Clocks, entropy: &Entropy) {
        let retry_after_ms = refusal.retry_after_ms;
        let unknown_before = self.failure.as_ref().map_or(0, |failure| failure.unknown_refusals);
        let trouble = match refusal.remedy {
            Remedy::Reauthenticate | Remedy::ReloadCredentials => return self.question(refusal),
            Remedy::Unknown if unknown_before + 1 >= UNKNOWN_REFUSALS_MAX => return self.question(refusal),
            Remedy::Unknown => Trouble::UnknownRefusal(refusal),
            Remedy::Retry => Trouble::Busy(refusal),
            Remedy::Confirm => Trouble::Confirm(refusal),
            Remedy::StepUp => Trouble::StepUp(refusal),
            Remedy::FixClient => Trouble::Client(refusal),
        };
        self.release();
        self.fail(trouble, retry_after_ms, now, entropy);
    }

    fn question(&mut self, refusal: Box<Refusal>) {
        self.step = Step::Questioning(refusal);
        self.out.push_back(Action::Read);
    }

    /// The store has been asked: if it holds nothing newer, the refusal stands.
    fn loaded_after_refusal(
        &mut self,
        stored: Option<Credentials>,
        refusal: Box<Refusal>,
        now: &Clocks,
        entropy: &Entropy,
    ) {
        if let Some(stored) = stored.as_ref().filter(|stored| self.is_news(stored)) {
            self.adopt(stored.clone());
            return self.release();
        }
        if refusal.remedy == Remedy::ReloadCredentials {
            self.release();
            let retry_after_ms = refusal.retry_after_ms;
            return self.fail(Trouble::NewerElsewhere(refusal), retry_after_ms, now, entropy);
        }
        let Some(last) = stored.or_else(|| self.credentials.clone()) else { return self.release() };
        let story = refusal.story;
        let next = last.with_tokens_set_aside(story.clone(), now.wall);
        self.credentials = Some(next.clone());
        let (error, reason) = (story.error.clone(), story.reason.clone());
        self.out.push_back(Action::Note(Note::SignedOut { error, reason }));
        self.end(Trouble::SignedOut(Box::new(story)));
        self.step = Step::SettingAside;
        self.out.push_back(Action::Store(Box::new(next), Storing::Story));
    }

    pub(super) fn transport_failed(
        &mut self,
        id: RequestId,
        failure: TransportFailure,
        now: &Clocks,
        entropy: &Entropy,
    ) {
        if matches!(&self.step, Step::Sending { id: awaited, .. } if *awaited == id) {
            self.release();
            self.fail(Trouble::Transport(failure), None, now, entropy);
        }
    }

    fn store_tokens(&mut self, next: Box<Credentials>) {
        self.step = Step::StoringTokens(next.clone());
        self.out.push_back(Action::Store(next, Storing::Tokens));
    }

    pub(super) fn stored(&mut self, now: &Clocks, entropy: &Entropy) {
        match std::mem::replace(&mut self.step, Step::Idle) {
            Step::StoringKey(credentials) => {
                self.credentials = Some(*credentials);
                self.send(now);
            }
            Step::StoringTokens(credentials) => {
                self.take_over(*credentials);
                self.out.push_back(Action::Note(Note::Refreshed { serial: self.serial() }));
                self.release();
                if !self.is_live(now) {
                    self.fail(Trouble::BornExpired, None, now, entropy);
                }
            }
            Step::SettingAside => self.release(),
            other @ (Step::Idle
            | Step::Locking
            | Step::Reading
            | Step::Sending { .. }
            | Step::Unsaved(_)
            | Step::Questioning(_)
            | Step::Looking) => self.step = other,
        }
    }

    pub(super) fn store_failed(&mut self, failure: StoreFailure, now: &Clocks, entropy: &Entropy) {
        match std::mem::replace(&mut self.step, Step::Idle) {
            Step::StoringKey(_) => {
                self.release();
                self.fail(Trouble::Store(failure), None, now, entropy);
            }
            Step::StoringTokens(credentials) => {
                self.step = Step::Unsaved(credentials);
                self.fail(Trouble::Store(failure), None, now, entropy);
            }
            // The verdict will be the same for the next process that asks; nothing is lost.
            Step::SettingAside => self.release(),
            other @ (Step::Idle
            | Step::Locking
            | Step::Reading
            | Step::Sending { .. }
            | Step::Unsaved(_)
            | Step::Questioning(_)
            | Step::Looking) => self.step = other,
        }
    }

    pub(super) fn load_failed(&mut self, failure: StoreFailure, now: &Clocks, entropy: &Entropy) {
        match std::mem::replace(&mut self.step, Step::Idle) {
            Step::Reading | Step::Questioning(_) => {
                self.release();
                self.fail(Trouble::Store(failure), None, now, entropy);
            }
            Step::Looking => self.ended = Some(Trouble::Store(failure)),
            other @ (Step::Idle
            | Step::Locking
            | Step::StoringKey(_)
            | Step::Sending { .. }
            | Step::StoringTokens(_)
            | Step::Unsaved(_)
            | Step::SettingAside) => self.step = other,
        }
    }

    /// A sign-in or another process told this one directly. Mid-refresh it is found under the lock anyway.
    pub(super) fn other_stored(&mut self, stored: Credentials, now: &Clocks, entropy: &Entropy) {
        if matches!(self.step, Step::Idle | Step::Looking) {
            self.step = Step::Looking;
            self.loaded(Some(stored), now, entropy);
        }
    }

    /// Whether the store holds other tokens than this engine. The store is right: whoever wrote it held the lock.
    fn is_news(&self, stored: &Credentials) -> bool {
        let held = self.credentials.as_ref();
        let still_dead = held.is_some_and(|held| is_set_aside(&held.set_aside, stored));
        held.map(|held| &held.tokens) != Some(&stored.tokens) && !still_dead
    }

    fn adopt(&mut self, stored: Credentials) {
        self.take_over(stored);
        if self.ended.is_none() {
            self.out.push_back(Action::Note(Note::Adopted { serial: self.serial() }));
        }
    }

    fn take_over(&mut self, credentials: Credentials) {
        self.credentials = Some(credentials);
        self.failure = None;
        self.renew_at = None;
        self.refused = None;
        self.api_refuses_fresh = false;
        self.ended = self.ended_by_the_store();
    }

    /// What the credentials at hand say about a sign-in that is over, if it is.
    pub(super) fn ended_by_the_store(&self) -> Option<Trouble> {
        let Some(credentials) = &self.credentials else { return Some(Trouble::NeverSignedIn) };
        if credentials.tokens.is_some() {
            return None;
        }
        Some(credentials.set_aside.last().map_or(Trouble::NeverSignedIn, |dead| {
            Trouble::SignedOut(Box::new(Story {
                error: dead.error.clone(),
                reason: dead.reason.clone(),
                description: dead.description.clone(),
                request_id: dead.request_id.clone(),
                uri: dead.uri.clone(),
            }))
        }))
    }

    fn end(&mut self, trouble: Trouble) {
        self.ended = Some(trouble);
        self.failure = None;
        self.refused = None;
    }

    fn release(&mut self) {
        self.step = Step::Idle;
        self.out.push_back(Action::Unlock);
    }

    fn fail(&mut self, trouble: Trouble, retry_after_ms: Option<u64>, now: &Clocks, entropy: &Entropy) {
        let before = self.failure.take();
        let tries = before.as_ref().map_or(0, |failure| failure.tries).saturating_add(1);
        // Only refusals count towards belief: a network that fails in between proves nothing.
        let is_unknown = matches!(trouble, Trouble::UnknownRefusal(_));
        let unknown_refusals = before.map_or(0, |failure| failure.unknown_refusals) + u32::from(is_unknown);
        let retry_in_ms = if trouble.needs_somebody() || is_unknown {
            schedule::attended_delay_ms(tries, retry_after_ms, entropy.roll())
        } else {
            schedule::retry_delay_ms(tries, retry_after_ms, entropy.roll())
        };
        self.out.push_back(Action::Note(Note::TryFailed { cause: trouble.to_string(), retry_in_ms }));
        let retry_at = now.boot.plus_ms(retry_in_ms);
        self.failure =
            Some(Failure { tries, unknown_refusals, trouble, retry_at, retry_in_ms, failed_at: *now });
    }
}

/// Whether these tokens are known to be dead: their story could not be stored, so the file still has them.
fn is_set_aside(set_aside: &[SetAside], stored: &Credentials) -> bool {
    stored.tokens.as_ref().is_some_and(|tokens| set_aside.iter().any(|dead| dead.tokens == *tokens))
}
