//! The command as a process.

#![expect(clippy::unwrap_used, reason = "a test that unwraps fails where the mistake is")]

mod app;
mod command_line;
mod decisions;
mod dev;
mod fleet;
mod kills;
mod network;
mod oauth2_peer;
mod processes;
mod serve;
mod siblings;
mod together;
mod world;
