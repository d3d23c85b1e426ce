//! What the embedded engine must survive: kills, torn files, a full disk, second openers.

mod crash;
mod damage;
mod folder;
mod pressure;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use perennial_core::write::Applied;
use perennial_core::{RowVersion, Session};
use perennial_store::Store;
use perennial_store::sqlite::{Options, SqliteStore};

use crate::sample::{self, sid};

const CHILD_FOLDER: &str = "PERENNIAL_STORE_CHILD_FOLDER";

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder, Options::default()).expect("the store opens")
}

/// The database itself, while no store has it open.
fn raw(folder: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(folder.join("perennial.db")).expect("the database opens")
}

async fn bear(store: &dyn Store, n: u32) -> Session {
    let session = sample::session("ada", "notes");
    let answer = store.apply(sample::birth(sid(n), &session)).await.expect("apply");
    assert!(matches!(answer, Applied::Applied(_)), "{answer:?}");
    session
}

async fn rotate(store: &dyn Store, n: u32, read: &Session) -> Session {
    let write = sample::rotation(sid(n), read);
    let rotated = sample::after(&write, read);
    let answer = store.apply(write).await.expect("apply");
    assert!(matches!(answer, Applied::Applied(_)), "{answer:?}");
    rotated
}

async fn version(store: &dyn Store, n: u32) -> Option<RowVersion> {
    store.session(sid(n)).await.expect("read").map(|session| session.hot.version)
}

/// This test binary again, as another process that runs one (ignored) test on a folder.
fn child(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(CHILD_FOLDER, folder);
    command
}

/// The folder that a parent named; none when somebody runs ignored tests by themselves.
fn childs_folder() -> Option<PathBuf> {
    std::env::var_os(CHILD_FOLDER).map(PathBuf::from)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn shared(store: SqliteStore) -> Arc<dyn Store> {
    Arc::new(store)
}
