//! Wall time and service time, the two clocks that decisions are given.
//!
//! Service time is what the store last kept plus what has passed since the start by a clock that only runs
//! forward; it does not run while no server was alive, so an outage of ours neither idles anybody out nor uses
//! up a window in which an answer may be retried.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use perennial_core::{Now, ServiceMillis, UnixMillis};
use perennial_store::{Store, StoreError};

/// The clocks of a running server.
#[derive(Debug)]
pub struct Clock {
    kept: ServiceMillis,
    started: Instant,
}

impl Clock {
    /// Goes on from where the store last kept the service clock.
    ///
    /// # Errors
    /// The store is away.
    pub async fn start(store: &dyn Store) -> Result<Self, StoreError> {
        let kept = store.service_clock().await?;
        Ok(Self { kept, started: Instant::now() })
    }

    /// This instant on both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { wall: wall(), service: self.kept.plus(millis(self.started.elapsed())) }
    }

    /// Keeps the service clock in the store; a crash loses what has passed since.
    ///
    /// # Errors
    /// The store is away.
    pub async fn keep(&self, store: &dyn Store) -> Result<(), StoreError> {
        store.keep_service_clock(self.now().service).await
    }
}

/// A clock before 1970 reads as 1970: nothing is extended by it, since every lifetime ends later than it began.
fn wall() -> UnixMillis {
    UnixMillis(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis))
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
