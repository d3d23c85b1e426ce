#![doc = include_str!("../README.md")]

mod device;
mod invariants;
mod network;
mod server;
pub mod world;

pub use perennial_testkit::Seed;
pub use world::{Counts, Faults, Narrowed, Plan, Planted, Trouble, Violation, World};
