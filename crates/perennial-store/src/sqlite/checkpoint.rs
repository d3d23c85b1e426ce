//! Moving the write-ahead log into the database without making commits wait for it.
//!
//! A checkpoint inside a commit stalls it for hundreds of milliseconds. One on a second thread does not, but under
//! load never reaches the end of a log that grows meanwhile, so the log would never begin anew. Hence both: the
//! second thread moves the bulk, and when little is left the writer moves that between two commits.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

use super::schema;

/// How long the log may grow, in pages of 4 KiB, before the second thread is woken.
const BULK_PAGES: usize = 4 * 1024;
/// What is left for the writer, in pages, or what the second thread reached in its rounds.
const REST_PAGES: usize = 512;
/// How often the second thread follows a growing log.
const ROUNDS: usize = 4;

/// The writer's side.
pub(super) struct Checkpoints {
    /// Pages in the log, at most: each change touches a few.
    pages: usize,
    wake: SyncSender<()>,
    rest_is_small: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Checkpoints {
    /// Starts the second thread; `pages` may be in the log already.
    pub(super) fn start(database: PathBuf, pages: usize) -> std::io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let rest_is_small = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&rest_is_small);
        let thread = thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || serve(&database, &woken, &done))?;
        Ok(Self { pages, wake, rest_is_small, thread })
    }

    /// After each commit: wakes the second thread, or moves the rest that it left.
    pub(super) fn after_commit(&mut self, connection: &Connection, jobs: usize) {
        // A rotation changes a page of hot rows and shares one of events; a birth a few more.
        self.pages += 2 * jobs + 2;
        if self.rest_is_small.swap(false, Ordering::AcqRel) {
            match checkpoint(connection) {
                Ok(left) => self.pages = left,
                // The commit is durable all the same; the second thread tries again.
                Err(error) => tracing::warn!(%error, "the write-ahead log could not be moved"),
            }
        } else if self.pages > BULK_PAGES {
            // Full: it was woken already.
            let _ = self.wake.try_send(());
        }
    }

    /// Ends the second thread and waits for it.
    pub(super) fn end(self) {
        let Self { wake, thread, .. } = self;
        drop(wake);
        if thread.join().is_err() {
            tracing::error!("the store's checkpoint thread had panicked");
        }
    }
}

fn serve(database: &std::path::Path, woken: &Receiver<()>, rest_is_small: &AtomicBool) {
    let mut open = None;
    while woken.recv().is_ok() {
        let moved = match open.take() {
            Some(connection) => Ok(connection),
            None => schema::writing(database, None),
        };
        match moved.and_then(|connection| follow(&connection).map(|()| connection)) {
            Ok(connection) => open = Some(connection),
            Err(error) => tracing::warn!(%error, "the write-ahead log could not be moved"),
        }
        rest_is_small.store(true, Ordering::Release);
    }
}

fn follow(connection: &Connection) -> rusqlite::Result<()> {
    for _ in 0..ROUNDS {
        if checkpoint(connection)? <= REST_PAGES {
            break;
        }
    }
    Ok(())
}

/// Moves what can be moved without making anybody wait; says how many pages are left.
fn checkpoint(connection: &Connection) -> rusqlite::Result<usize> {
    let mut statement = connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?;
    statement.query_row([], |row| {
        let (in_log, moved): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok(usize::try_from(in_log - moved).unwrap_or(0))
    })
}
