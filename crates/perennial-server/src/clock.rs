//! Wall time and service time, the two clocks that decisions are given.

/// The clocks of a running server.
pub struct Clock {}
