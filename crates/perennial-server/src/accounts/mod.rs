//! The embedded accounts: who may sign in, and how they prove who they are.

/// The accounts in the store, and the bounded pool that hashes passwords.
pub struct Accounts {}
