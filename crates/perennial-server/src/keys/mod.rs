//! Everything secret that the server makes tokens with, wrapped in the store under a key outside it.

/// The keys of a running server.
pub struct Keys {}
