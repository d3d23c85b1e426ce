//! Credentials that end with the process. Sessions that share one `MemoryStore` behave like processes that share
//! a file.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::credentials::Credentials;
use crate::engine::StoreFailure;
use crate::store::{Store, StoreLock};

/// Keeps credentials in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stored: Mutex<Option<Credentials>>,
    locked: Mutex<bool>,
    unlocked: Condvar,
}

impl MemoryStore {
    /// A store that holds these credentials.
    pub fn holding(credentials: Credentials) -> Self {
        let store = Self::default();
        *store.stored() = Some(credentials);
        store
    }

    fn stored(&self) -> MutexGuard<'_, Option<Credentials>> {
        self.0.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Held(Arc<Shared>);

impl Drop for Held {
    fn drop(&mut self) {
        *self.0.locked.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.unlocked.notify_one();
    }
}

impl Store for MemoryStore {
    fn lock(&self) -> Result<StoreLock, StoreFailure> {
        let locked = self.0.locked.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.unlocked.wait_while(locked, |locked| *locked);
        *waited.unwrap_or_else(PoisonError::into_inner) = true;
        Ok(StoreLock::held_by(Held(self.0.clone())))
    }

    fn read(&self, _lock: Option<&StoreLock>) -> Result<Option<Credentials>, StoreFailure> {
        Ok(self.stored().clone())
    }

    fn write(&self, _lock: &StoreLock, credentials: &Credentials) -> Result<(), StoreFailure> {
        *self.stored() = Some(credentials.clone());
        Ok(())
    }
}
