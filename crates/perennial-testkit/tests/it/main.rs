//! The test kit tested: what all other tests stand on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod browser;
mod http;
mod process;
mod proxy;
mod seed;
mod site;
