//! The table in memory: the reference model of the contract suite, and the simulator's store.
