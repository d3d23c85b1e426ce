//! The client over real sockets and files, and its engine in a world of losses and crashes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod driver;
mod fake_server;
#[cfg(feature = "login")]
mod login;
mod processes;
mod stores;
mod world;
