//! Where sessions live: the store trait, its in-memory reference model and the SQLite engine.
