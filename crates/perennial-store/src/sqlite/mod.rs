//! The embedded engine: SQLite, one node, durable before it answers.
//!
//! A refresh costs one look into the cache, and two statements in a commit that it shares with whoever else waits.
//! The crate's page says which threads and files there are.

mod cache;
mod checkpoint;
mod event_record;
mod events;
mod folder;
mod grant_record;
mod readers;
mod records;
mod schema;
mod session_rows;
mod tickets;
mod trouble;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use perennial_core::write::{Applied, FeedPosition, Ticket, TicketKey, Write};
use perennial_core::{ServiceMillis, Session, SessionId, UnixMillis};
use tokio::sync::oneshot;

use crate::{OpenError, PutRecord, Record, RecordKind, SessionsOf, Store, StoreError, StoredEvent};
use cache::Sessions;
use checkpoint::Checkpoints;
use folder::Folder;
use readers::{Readers, StartError};
use trouble::Trouble;
use writer::{Asked, Request, Round, Writer};

const PAGE_BYTES: u64 = 4096;

/// How much the engine may use.
#[derive(Clone, Debug)]
pub struct Options {
    /// Sessions kept in memory; each takes about 700 bytes.
    pub cached_sessions: usize,
    /// Changes that may wait for the writer; one more is refused as [`StoreError::Overloaded`].
    pub queue: usize,
    /// Changes that one commit takes together.
    pub batch: usize,
    /// Threads that read.
    pub readers: usize,
    /// The size that the database may have, in bytes; beyond it the store is [`StoreError::Full`].
    pub max_bytes: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { cached_sessions: 100_000, queue: 4096, batch: 256, readers: 2, max_bytes: None }
    }
}

impl Options {
    fn max_pages(&self) -> Option<u32> {
        self.max_bytes.map(|bytes| u32::try_from(bytes / PAGE_BYTES).unwrap_or(u32::MAX - 1).max(1))
    }
}

/// A store in a folder of this machine.
///
/// Dropping it without [`Store::close`] still finishes what has queued up, and waits for it.
#[derive(Debug)]
pub struct SqliteStore {
    queue: SyncSender<Request>,
    readers: Arc<Readers>,
    sessions: Arc<Sessions>,
    closed: Arc<AtomicBool>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl SqliteStore {
    /// Opens the store in `folder`, which is made where its parent exists, and brings it to this version's schema.
    ///
    /// # Errors
    /// The folder is missing, not writable, in use by another process, of a newer version, or damaged.
    #[expect(clippy::needless_pass_by_value, reason = "options are made for one call and given away")]
    pub fn open(folder: &Path, options: Options) -> Result<Self, OpenError> {
        let folder = Folder::take(folder)?;
        let path = folder.path.clone();
        folder.check_database_file()?;
        let failed = |error: rusqlite::Error| schema::open_error(&path, &error);
        let mut connection = schema::writing(&folder.database(), options.max_pages()).map_err(failed)?;
        schema::migrate(&folder, &mut connection)?;

        let sessions = Arc::new(Sessions::new(options.cached_sessions));
        let readers = Readers::start(&folder.database(), options.readers, options.queue);
        let readers = readers.map_err(|error| match error {
            StartError::Sql(error) => failed(error),
            StartError::Thread(error) => folder::not_writable(&path, &error),
        })?;
        let left_in_log =
            std::fs::metadata(folder.write_ahead_log()).map_or(0, |file| file.len() / PAGE_BYTES);
        let checkpoints =
            Checkpoints::start(folder.database(), usize::try_from(left_in_log).unwrap_or(usize::MAX))
                .map_err(|error| folder::not_writable(&path, &error))?;
        let writer =
            Writer::new(folder, connection, Arc::clone(&sessions), checkpoints, &options).map_err(failed)?;
        let (queue, requests) = sync_channel(options.queue);
        let thread = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.serve(&requests))
            .map_err(|error| folder::not_writable(&path, &error))?;
        Ok(Self {
            queue,
            readers: Arc::new(readers),
            sessions,
            closed: Arc::new(AtomicBool::new(false)),
            writer: Arc::new(Mutex::new(Some(thread))),
        })
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(()) }
    }

    /// Has the writer do something; the answer comes after the commit.
    async fn write<T: Send + 'static>(
        &self,
        sid: Option<SessionId>,
        work: impl FnMut(&mut Round<'_>) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.check_open()?;
        let (answer, answered) = oneshot::channel();
        match self.queue.try_send(Request::Do(Box::new(Asked { sid, work, outcome: None, answer }))) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(StoreError::Overloaded),
            Err(TrySendError::Disconnected(_)) => return Err(StoreError::Closed),
        }
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.check_open()?;
        self.readers.read(work).await
    }

    fn ending(&self) -> impl FnOnce() + Send + 'static {
        let (queue, readers, writer) =
            (self.queue.clone(), Arc::clone(&self.readers), Arc::clone(&self.writer));
        move || {
            // The readers first: the writer's connection is to be the last, so that it tidies the log away.
            readers.end();
            // Held until the thread has ended: whoever else closes waits for that too.
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(thread) = writer.take() {
                drop(queue.send(Request::Close));
                if thread.join().is_err() {
                    tracing::error!("the store's writing thread had panicked");
                }
            }
        }
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.ending()();
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn session(&self, sid: SessionId) -> Result<Option<Session>, StoreError> {
        self.check_open()?;
        if let Some(session) = self.sessions.session(sid) {
            return Ok(Some(session));
        }
        let session = self.read(move |connection| session_rows::read(connection, sid)).await?;
        if let Some(session) = &session {
            self.sessions.was_read(sid, session);
        }
        Ok(session)
    }

    async fn apply(&self, write: Write) -> Result<Applied, StoreError> {
        self.write(Some(write.sid), move |round| session_rows::apply(&write, round)).await
    }

    async fn sessions(
        &self,
        of: SessionsOf,
        after: Option<SessionId>,
        limit: u16,
    ) -> Result<Vec<(SessionId, Session)>, StoreError> {
        self.read(move |connection| session_rows::list(connection, &of, after, limit)).await
    }

    async fn forget(&self, sid: SessionId, session: &Session) -> Result<bool, StoreError> {
        let version = session.hot.version;
        self.write(Some(sid), move |round| session_rows::forget(sid, version, round)).await
    }

    async fn put_ticket(&self, ticket: Ticket) -> Result<(), StoreError> {
        self.write(None, move |round| tickets::put(round.connection, &ticket)).await
    }

    async fn ticket(&self, key: &TicketKey) -> Result<Option<Ticket>, StoreError> {
        let key = key.clone();
        self.read(move |connection| tickets::read(connection, &key)).await
    }

    async fn consume_ticket(&self, key: &TicketKey) -> Result<Option<Ticket>, StoreError> {
        let key = key.clone();
        self.write(None, move |round| tickets::consume(round.connection, &key)).await
    }

    async fn sweep_tickets(&self, now: UnixMillis, limit: u16) -> Result<u16, StoreError> {
        self.write(None, move |round| tickets::sweep(round.connection, now, limit)).await
    }

    async fn record(&self, kind: RecordKind, key: &str) -> Result<Option<Record>, StoreError> {
        let key = key.to_owned();
        self.read(move |connection| records::read(connection, kind, &key)).await
    }

    async fn records(
        &self,
        kind: RecordKind,
        after: Option<&str>,
        limit: u16,
    ) -> Result<Vec<Record>, StoreError> {
        let after = after.map(str::to_owned);
        self.read(move |connection| records::list(connection, kind, after.as_deref(), limit)).await
    }

    async fn put_records(&self, records: Vec<PutRecord>) -> Result<bool, StoreError> {
        self.write(None, move |round| records::put_all(round.connection, &records)).await
    }

    async fn remove_record(&self, kind: RecordKind, key: &str) -> Result<bool, StoreError> {
        let key = key.to_owned();
        self.write(None, move |round| records::remove(round.connection, kind, &key)).await
    }

    async fn service_clock(&self) -> Result<ServiceMillis, StoreError> {
        self.read(records::service_clock).await
    }

    async fn keep_service_clock(&self, at: ServiceMillis) -> Result<(), StoreError> {
        self.write(None, move |round| records::keep_service_clock(round.connection, at)).await
    }

    async fn events(&self, after: FeedPosition, limit: u16) -> Result<Vec<StoredEvent>, StoreError> {
        self.read(move |connection| events::list(connection, after, limit)).await
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if tokio::task::spawn_blocking(self.ending()).await.is_err() {
            tracing::error!("closing the store was cut off");
        }
    }
}

/// CRC-32 over the parts: SQLite has no page checksums, so a flipped bit must show in the row.
fn checksum(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// A number as SQLite keeps it: 63 bits, which is the end of time and of every count.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
