//! The pure heart of Perennial: sessions, refresh tokens, decisions, policy. No I/O, no clock, no async.
