//! What a server does beside answering: keeps its clock, sweeps what has run out, makes room for connections.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::service::Service;
use crate::sweeper::sweep_slice;

/// What a crash may cost of service time.
const CLOCK_KEPT_EVERY: Duration = Duration::from_secs(5);

/// Between two slices of one sweep: a slice never competes with the slice before it.
const BETWEEN_SLICES: Duration = Duration::from_millis(500);

/// Between two sweeps. What has run out is refused at once; it is only written down this slowly.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(60);

/// Files that a server has open beside its connections: the store, the log, the listener.
const OTHER_FILES: u64 = 256;

/// Keeps the service clock in the store until `stop`.
pub(super) async fn keep_clock(service: Arc<Service>, stop: CancellationToken) {
    let mut ticks = interval(CLOCK_KEPT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = service.clock.keep(&*service.store).await {
            tracing::warn!(%error, "the service clock was not kept");
        }
    }
}

/// Sweeps sessions and tickets, slowly, until `stop`.
pub(super) async fn sweep(service: Arc<Service>, stop: CancellationToken) {
    let mut after = None;
    let mut pause = BETWEEN_SLICES;
    while stop.run_until_cancelled(sleep(pause)).await.is_some() {
        pause = BETWEEN_SLICES;
        match sweep_slice(&service, after).await {
            Ok(next) => {
                after = next;
                if next.is_none() {
                    pause = BETWEEN_SWEEPS;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a sweep stopped; it goes on later");
                pause = BETWEEN_SWEEPS;
            }
        }
    }
}

/// Asks the system for as many open files as connections are allowed, and says so where it gives fewer.
pub(super) fn make_room_for(max_connections: usize) {
    let wanted = (max_connections as u64).saturating_add(OTHER_FILES);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let given = limit.maximum.map_or(wanted, |most| most.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(given), maximum: limit.maximum });
    if raised.is_err() || given < wanted {
        tracing::warn!(
            wanted,
            given,
            "the system allows fewer open files than limits.max_connections asks for: raise `ulimit -n`"
        );
    }
}
