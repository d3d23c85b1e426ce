//! The issuer's keys: fetched ahead of use, kept parsed, served stale while the issuer is away.
//!
//! One fetch is in flight at most, whoever wants it; each starts no sooner than a cool-down after the one
//! before, whether that one succeeded or failed, so no flood of made-up key ids and no outage turns into a flood
//! of fetches. A fetch that fails changes nothing. The set in use is read without a lock.

mod fetch;
mod jwk;

pub(crate) use fetch::{Issuer, Limits, Source, is_loopback};
pub(crate) use jwk::{Key, KeySet};

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::refusal::VerifierFault;

/// Until the first keys are there, tries follow each other this closely, doubling up to the cool-down: API and
/// issuer are often started together.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// When keys are fetched, and for how long they serve.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) cool_down: Duration,
    pub(crate) max_stale: Duration,
    /// The issuer's max-age is followed within these bounds.
    pub(crate) refresh_at_least: Duration,
    pub(crate) refresh_at_most: Duration,
    pub(crate) fetch_timeout: Duration,
}

/// A key set in use.
pub(crate) struct Current {
    pub(crate) set: KeySet,
    /// When the fetch that brought it started: what the issuer published since then may be missing.
    fetched: Duration,
    pub(crate) fetched_unix_seconds: u64,
    refresh_after: Duration,
}

/// The keys of one issuer.
pub(crate) struct Keyring {
    source: Source,
    schedule: Schedule,
    clock: Arc<dyn Clock>,
    runtime: Handle,
    current: ArcSwapOption<Current>,
    flight: Mutex<Flight>,
    /// Counts finished fetches.
    landed: watch::Sender<u64>,
}

#[derive(Default)]
struct Flight {
    is_in_flight: bool,
    last_launch: Option<Duration>,
    failures: u32,
}

enum Launch {
    Started(watch::Receiver<u64>),
    Joined(watch::Receiver<u64>),
    CoolingDown,
}

/// What waiting for a fetch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// A fetch that began after the question was asked has brought the issuer's present keys.
    Renewed,
    /// Anything else: there may be keys that are not known here.
    Inconclusive,
}

impl Keyring {
    /// A keyring that fetches its first keys at once and keeps them fresh until it is dropped.
    pub(crate) fn start(
        source: Source,
        schedule: Schedule,
        clock: Arc<dyn Clock>,
        runtime: Handle,
    ) -> Arc<Self> {
        let keyring = Arc::new(Self {
            source,
            schedule,
            clock,
            runtime,
            current: ArcSwapOption::empty(),
            flight: Mutex::default(),
            landed: watch::Sender::new(0),
        });
        keyring.runtime.spawn(keep_fresh(Arc::downgrade(&keyring)));
        keyring
    }

    /// The keys, if they may still be used. Starts a fetch, without waiting for it, when one is due.
    pub(crate) fn usable(self: &Arc<Self>) -> Result<Guard<Option<Arc<Current>>>, VerifierFault> {
        let guard = self.current.load();
        let Some(current) = guard.as_deref() else { return Err(VerifierFault::NoKeys) };
        let age = self.clock.monotonic().saturating_sub(current.fetched);
        if age >= self.schedule.max_stale {
            return Err(VerifierFault::StaleKeys);
        }
        if age >= current.refresh_after {
            self.launch();
        }
        Ok(guard)
    }

    /// Fetches the keys now, or waits for the fetch that is on its way, unless cooling down.
    pub(crate) async fn renew(self: &Arc<Self>) -> Waited {
        let (mut landing, is_ours) = match self.launch() {
            Launch::Started(landing) => (landing, true),
            Launch::Joined(landing) => (landing, false),
            Launch::CoolingDown => return Waited::Inconclusive,
        };
        // The sender lives in self, so the wait ends with the landing.
        let has_landed = landing.changed().await.is_ok();
        if has_landed && is_ours && self.flight().failures == 0 {
            Waited::Renewed
        } else {
            Waited::Inconclusive
        }
    }

    /// How long until the next fetch may start, at least a second.
    pub(crate) fn retry_after(&self) -> Duration {
        let now = self.clock.monotonic();
        let wait = self.remaining_cool_down(&self.flight(), now);
        Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(Duration::from_secs(1))
    }

    fn launch(self: &Arc<Self>) -> Launch {
        let now = self.clock.monotonic();
        let mut flight = self.flight();
        if flight.is_in_flight {
            return Launch::Joined(self.landed.subscribe());
        }
        if !self.remaining_cool_down(&flight, now).is_zero() {
            return Launch::CoolingDown;
        }
        flight.is_in_flight = true;
        flight.last_launch = Some(now);
        let landing = self.landed.subscribe();
        drop(flight);
        // A task of its own: a caller that goes away does not take the fetch with it.
        self.runtime.spawn(Arc::clone(self).fly(now, self.clock.unix_seconds()));
        Launch::Started(landing)
    }

    async fn fly(self: Arc<Self>, started: Duration, started_unix_seconds: u64) {
        let mut landing = Landing { keyring: &self, has_succeeded: false };
        let fetched = tokio::time::timeout(self.schedule.fetch_timeout, self.source.fetch()).await;
        match fetched.unwrap_or(Err(fetch::FetchFault::TimedOut)) {
            Ok(fetch::Fetched { set, max_age }) => {
                let bounds = &self.schedule;
                let refresh_after = max_age
                    .unwrap_or(fetch::DEFAULT_MAX_AGE)
                    .clamp(bounds.refresh_at_least, bounds.refresh_at_most);
                self.publish(Current {
                    set,
                    fetched: started,
                    fetched_unix_seconds: started_unix_seconds,
                    refresh_after,
                });
                landing.has_succeeded = true;
            }
            Err(fault) => {
                self.source.forget_address();
                tracing::warn!(issuer = self.source.issuer(), %fault, "the issuer's keys could not be fetched");
            }
        }
    }

    fn publish(&self, mut next: Current) {
        // Only `fly` publishes, and one flies at a time, so nothing is lost between load and store.
        let retired = match self.current.load().as_deref() {
            Some(previous) => next.set.succeed(&previous.set),
            None => Vec::new(),
        };
        self.current.store(Some(Arc::new(next)));
        // After the store: whoever still verifies with the old set leaves a memory under a key that is marked,
        // and a marked key's memories do not count.
        for key in retired {
            key.retire();
        }
    }

    fn remaining_cool_down(&self, flight: &Flight, now: Duration) -> Duration {
        let Some(last) = flight.last_launch else { return Duration::ZERO };
        let cool_down = if self.current.load().is_some() {
            self.schedule.cool_down
        } else {
            FIRST_RETRY
                .saturating_mul(1 << flight.failures.saturating_sub(1).min(16))
                .min(self.schedule.cool_down)
        };
        (last + cool_down).saturating_sub(now)
    }

    /// How long the background may sleep until keys are to be fetched.
    fn until_due(&self) -> Duration {
        let now = self.clock.monotonic();
        let cooled_down = self.remaining_cool_down(&self.flight(), now);
        match self.current.load().as_deref() {
            Some(current) => (current.fetched + current.refresh_after).saturating_sub(now).max(cooled_down),
            None => cooled_down,
        }
    }

    fn flight(&self) -> MutexGuard<'_, Flight> {
        // Nothing under this lock can leave it half written.
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a flight however it ends, a panic included, so that the next one can start.
struct Landing<'keyring> {
    keyring: &'keyring Keyring,
    has_succeeded: bool,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        let mut flight = self.keyring.flight();
        flight.is_in_flight = false;
        flight.failures = if self.has_succeeded { 0 } else { flight.failures.saturating_add(1) };
        drop(flight);
        self.keyring.landed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Fetches whenever it is due, for as long as somebody holds the keyring.
async fn keep_fresh(keyring: Weak<Keyring>) {
    loop {
        let Some(held) = keyring.upgrade() else { return };
        let mut landed = held.landed.subscribe();
        let wait = held.until_due();
        if wait.is_zero() {
            held.renew().await;
            continue;
        }
        drop(held);
        // A fetch that a request started changes when the next one is due; a keyring that is dropped ends the
        // wait, too.
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = landed.changed() => {}
        }
    }
}
