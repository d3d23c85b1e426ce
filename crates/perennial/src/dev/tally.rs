//! What happened, counted and told: by the devices themselves, and by the server's own log of decisions.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// How many of the latest happenings are kept.
const LATEST: usize = 8;

/// Which of the two fleets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The Perennial client, at the default level.
    Perennial,
    /// The plain client, under strict rotation.
    Plain,
}

/// What came of one call to the API.
pub(super) enum Call {
    /// It was made and answered.
    Made,
    /// The network lost it; the work goes on with the next.
    LostByTheNetwork,
    /// The work stopped for want of a token.
    Interrupted(String),
}

/// One side's counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Calls made and answered.
    pub(super) calls: u64,
    /// Calls that the network lost.
    pub(super) lost_calls: u64,
    /// Refreshes that rotated.
    pub(super) refreshes: u64,
    /// Refreshes answered with the same successor again.
    pub(super) replays: u64,
    /// Sessions that the server ended for reuse.
    pub(super) ended: u64,
    /// Times that the work stopped.
    pub(super) interruptions: u64,
    /// The longest that one call took.
    pub(super) slowest: Duration,
}

/// Everything that happened so far.
pub(super) struct Tally {
    started: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    perennial: Counts,
    plain: Counts,
    latest: VecDeque<String>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { started: Instant::now(), inner: Mutex::default() }
    }
}

impl Tally {
    /// What came of one call.
    pub(super) fn called(&self, side: Side, device: u16, call: &Call, took: Duration) {
        if let Call::Interrupted(why) = call {
            self.interrupted(side, device, why);
        }
        let mut inner = self.inner();
        let counts = inner.of(side);
        counts.slowest = counts.slowest.max(took);
        match call {
            Call::Made => counts.calls += 1,
            Call::LostByTheNetwork => counts.lost_calls += 1,
            Call::Interrupted(_) => {}
        }
    }

    /// The work of a device stopped.
    pub(super) fn interrupted(&self, side: Side, device: u16, why: &str) {
        let who = match side {
            Side::Perennial => "perennial",
            Side::Plain => "plain",
        };
        let mut inner = self.inner();
        inner.of(side).interruptions += 1;
        inner.tell(self.started, &format!("{who} device {device} interrupted: {why}"));
    }

    /// One side's counts.
    pub(super) fn side(&self, side: Side) -> Counts {
        *self.inner().of(side)
    }

    /// The latest happenings, oldest first.
    pub(super) fn latest(&self) -> Vec<String> {
        self.inner().latest.iter().cloned().collect()
    }

    /// How long it has been.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decided(&self, decision: &Decided) {
        let side = match decision.client.as_str() {
            "demo-web" => Side::Perennial,
            "demo-strict" => Side::Plain,
            _ => return,
        };
        let mut inner = self.inner();
        let generation = decision.generation;
        let told = match decision.reason.as_str() {
            "rotated" | "fast_forwarded" => {
                inner.of(side).refreshes += 1;
                return;
            }
            "replayed_by_retry_key" => {
                inner.of(side).replays += 1;
                format!("perennial: asked again with the same retry key, given generation {generation} again")
            }
            "replayed_for_sibling" | "replayed_late" => {
                inner.of(side).replays += 1;
                format!("asked again, given generation {generation} again")
            }
            "evidence_revoked" => {
                inner.of(side).ended += 1;
                "plain: a lost answer was asked for again; strict rotation takes it for theft and ends the session".to_owned()
            }
            _ => return,
        };
        inner.tell(self.started, &told);
    }
}

impl Inner {
    fn of(&mut self, side: Side) -> &mut Counts {
        match side {
            Side::Perennial => &mut self.perennial,
            Side::Plain => &mut self.plain,
        }
    }

    fn tell(&mut self, started: Instant, what: &str) {
        if self.latest.len() == LATEST {
            self.latest.pop_front();
        }
        self.latest.push_back(format!("{}  {what}", super::show::clock(started.elapsed())));
    }
}

/// Counts what the server, which runs in this process, logs of its decisions; its warnings are told as well.
pub(super) fn listen_to_the_server(tally: &Arc<Tally>) {
    let listener = Listener(Arc::clone(tally));
    // Where a subscriber is installed already (a test), there is nothing to count but the devices' own words.
    let _ = tracing_subscriber::registry().with(listener).try_init();
}

struct Listener(Arc<Tally>);

#[derive(Default)]
struct Decided {
    client: String,
    reason: String,
    generation: u64,
    message: String,
}

impl Visit for Decided {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "generation" {
            self.generation = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "reason" {
            value.clone_into(&mut self.reason);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "client" => self.client = format!("{value:?}"),
            "message" => self.message = format!("{value:?}"),
            _ => {}
        }
    }
}

impl<S: Subscriber> Layer<S> for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().starts_with("perennial_server") && *metadata.level() <= Level::INFO
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut decided = Decided::default();
        event.record(&mut decided);
        if *event.metadata().level() <= Level::WARN {
            let told = format!("server: {}", decided.message);
            self.0.inner().tell(self.0.started, &told);
        } else if decided.message == "decided" {
            self.0.decided(&decided);
        }
    }
}
