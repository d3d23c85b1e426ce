//! The contract: what every engine must answer. An engine supplies a constructor to [`suite!`], nothing else.

mod everything;

use std::any::Any;
use std::sync::Arc;

use perennial_store::Store;
use perennial_store::memory::MemoryStore;
use perennial_store::sqlite::{Options, SqliteStore};

/// An empty store, and what must live as long as it.
pub(crate) struct Fresh {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) _beside: Box<dyn Any + Send>,
}

/// Runs the contract against what a constructor makes: one test for each clause.
macro_rules! suite {
    ($engine:ident, $open:expr) => {
        mod $engine {
            use super::*;

            $crate::contract::everything::clauses!($open);
        }
    };
}

suite!(memory, || async { Fresh { store: Arc::new(MemoryStore::default()), _beside: Box::new(()) } });

suite!(sqlite, || async {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = SqliteStore::open(folder.path(), Options::default()).expect("opens");
    Fresh { store: Arc::new(store), _beside: Box::new(folder) }
});
