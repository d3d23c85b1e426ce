//! The endpoints over their real routes, with a store in memory that can be told to fail.

#![expect(clippy::unwrap_used, reason = "a test that unwraps fails where the mistake is")]

mod bad_input;
mod clients;
mod codes;
mod concurrency;
mod config;
mod control;
mod cors;
mod discovery;
mod keys;
mod pages;
mod refresh;
mod reload;
mod revoke;
mod session;
mod shapes;
mod sweeper;
mod trouble;
mod unreliable_store;
mod userinfo;
mod world;
