//! The two clocks, as values.
//!
//! Wall time is what people see. Service time does not run while no node was alive, so that an outage of ours
//! neither idles anybody out nor uses up a window in which an answer may be retried.

use std::fmt;

/// Wall time in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

/// Service time in milliseconds since the first start of the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceMillis(pub u64);

/// One instant on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// What the wall clock says.
    pub wall: UnixMillis,
    /// How long the service has run in all.
    pub service: ServiceMillis,
}

impl UnixMillis {
    /// This time moved on by `ms` milliseconds, never past the end of time.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Whole seconds since the epoch, as tokens and answers carry them (RFC 7519, 2: NumericDate).
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

impl ServiceMillis {
    /// This time moved on by `ms` milliseconds, never past the end of time.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; none where `earlier` is later, since a clock that jumped back has
    /// extended nothing.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Now {
    /// A moment of service time as wall time, judged from this instant.
    #[must_use]
    pub const fn wall_of(self, at: ServiceMillis) -> UnixMillis {
        if at.0 >= self.service.0 {
            self.wall.plus(at.0 - self.service.0)
        } else {
            UnixMillis(self.wall.0.saturating_sub(self.service.0 - at.0))
        }
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
