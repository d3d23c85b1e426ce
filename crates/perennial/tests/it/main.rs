//! The command as a process.

#![expect(clippy::unwrap_used, reason = "a test that unwraps fails where the mistake is")]

mod serve;
