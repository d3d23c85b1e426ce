#![doc = include_str!("overview.md")]

#[cfg(feature = "browser")]
pub mod browser;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "process")]
pub mod process;
#[cfg(feature = "proxy")]
pub mod proxy;
mod seed;

pub use seed::{Rng, SEED_VARIABLE, SOAK_VARIABLE, Seed, cases};
