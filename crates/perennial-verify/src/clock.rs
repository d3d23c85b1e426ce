//! Time as a parameter: the verifier never asks the system for it but through this trait, so tests move it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where a [`Verifier`](crate::Verifier) gets its time from.
pub trait Clock: Send + Sync + 'static {
    /// Seconds since the Unix epoch, for `exp`, `nbf` and `iat`.
    fn unix_seconds(&self) -> u64;

    /// Time since some fixed point in the past that never goes back, for the age of keys and for cool-downs.
    fn monotonic(&self) -> Duration;
}

/// The system's clocks.
#[derive(Debug, Clone)]
pub struct SystemClock {
    origin: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn unix_seconds(&self) -> u64 {
        // A system clock set before 1970 reads as 0: every token is then "not yet valid" or long-lived, and
        // the operator sees it at once, which a panic in a request would hide.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}
