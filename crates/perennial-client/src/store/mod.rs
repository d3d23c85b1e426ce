//! Where credentials are kept. A store has three duties: a lock that its holder's death frees, a read that sees a
//! whole value, and a write that is atomic and durable when it returns.

mod file;
mod memory;

use std::any::Any;
use std::fmt;

pub use file::{FileStore, ProfileNameError};
pub use memory::MemoryStore;

use crate::credentials::Credentials;
use crate::engine::StoreFailure;

/// A place for credentials. The calls block; the driver makes them off the reactor.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Waits for the lock, however long another process holds it.
    ///
    /// # Errors
    /// The lock cannot be had at all.
    fn lock(&self) -> Result<StoreLock, StoreFailure>;

    /// What is stored, as a whole; `None` when nothing is. `lock` is the caller's, if it holds it.
    ///
    /// # Errors
    /// It cannot be read, or it is damaged: then it has been moved aside.
    fn read(&self, lock: Option<&StoreLock>) -> Result<Option<Credentials>, StoreFailure>;

    /// Replaces what is stored, atomically, and returns when it is durable.
    ///
    /// # Errors
    /// What was stored before is still there.
    fn write(&self, lock: &StoreLock, credentials: &Credentials) -> Result<(), StoreFailure>;
}

/// The lock of a store, held until it is dropped or its process dies.
pub struct StoreLock {
    _held: Box<dyn Any + Send + Sync>,
}

impl StoreLock {
    /// A lock that is held as long as `held` lives.
    pub fn held_by(held: impl Any + Send + Sync) -> Self {
        Self { _held: Box::new(held) }
    }
}

impl fmt::Debug for StoreLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreLock")
    }
}
