//! The client over real sockets and files, and its engine in a world of losses and crashes.

mod driver;
mod fake_server;
#[cfg(feature = "login")]
mod login;
mod processes;
mod stores;
mod world;
