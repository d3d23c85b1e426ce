//! The table in memory: the reference model of the contract suite, and the simulator's store.

mod store;
mod table;

pub use store::MemoryStore;
pub use table::{EventsKept, Table};
