//! The contract: what every engine must answer. An engine supplies a constructor to [`suite!`], nothing else.

mod everything;
mod model;

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

            #[test]
            fn answers_as_the_table_in_memory_does() {
                $crate::contract::model::answers_as_the_table_in_memory_does($open);
            }
        }
    };
}

suite!(memory, || async { Fresh { store: Arc::new(MemoryStore::default()), _beside: Box::new(()) } });

suite!(sqlite, || async {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = SqliteStore::open(folder.path(), Options::default()).expect("opens");
    Fresh { store: Arc::new(store), _beside: Box::new(folder) }
});

// So small that rows fall out of the cache between any two steps, and that a commit takes few of those who wait.
suite!(sqlite_with_little_memory, || async {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = Options { cached_sessions: 1, batch: 3, readers: 1, ..Options::default() };
    let store = SqliteStore::open(folder.path(), options).expect("opens");
    Fresh { store: Arc::new(store), _beside: Box::new(folder) }
});
