//! Where sessions live: one trait, made of what the service needs and nothing that an engine finds hard.
//!
//! Sessions are written one conditional write at a time, each with its audit event; an engine commits whatever
//! has queued up together (group commit) and answers each writer when its own write is durable, never before
//! (INV-7). Everything else is a record under a key, or a single-use ticket that expires.
//!
//! - [`memory::Table`] is the same table in memory, synchronous: the reference model of the contract suite and
//!   the simulator's store. [`memory::MemoryStore`] is the table behind the trait.
//! - [`sqlite::SqliteStore`] is the embedded engine, one node, durable before it answers.
//!
//! # Guarantees
//! Of every engine, and kept by the suite in `tests/it/contract` (to add an engine, give it a constructor there):
//!
//! 1. An answer is given when what it says is durable (INV-7). An error acknowledges nothing: what was asked was
//!    either not done, or it is not known, and deciding again on the row gives the same successor (INV-6).
//! 2. A write applies to the version that it was decided on, or not at all; a conflict brings the newer row. Of any
//!    number of writers, one writes each version. The row of a birth has version 0.
//! 3. A session, its event and its ticket change together or not at all. Of any number of callers, one consumes a
//!    ticket.
//! 4. A read sees every write that was acknowledged before it began.
//! 5. Damage stays where it is: a row whose checksum does not match is [`StoreError::Damaged`] for whoever asks for
//!    it, and costs nobody else anything. It is never repaired by guessing.
//! 6. Nothing waits without bound: more than can be queued is [`StoreError::Overloaded`] at once.
//!
//! Not guaranteed by checksums: a bit that flips in a key or in the tree above the rows can hide a row, and one that
//! flips in the write-ahead log ends the log there.
//!
//! # The embedded engine
//! Its folder, which is made for its owner alone:
//!
//! | file | what it is |
//! | --- | --- |
//! | `perennial.db` | the database: sessions, tickets, records, the service clock, events |
//! | `perennial.db-wal`, `perennial.db-shm` | what was committed and is not yet in it; gone after a clean end |
//! | `lock` | locked while a process has the folder, and says which: `process 4711 since 2026-01-31 10:00:00 UTC` |
//!
//! Its threads:
//!
//! | thread | what it does |
//! | --- | --- |
//! | `store-writer` | all changes: takes whatever has queued up, up to 256, in the order of the rows; commits; answers |
//! | `store-reader-n` | reads that are not in the cache, lists, events; none ever waits for the writer |
//! | `store-checkpoint` | moves the log into the database beside the writer, who moves only the small rest |
//!
//! A refresh costs one look into the cache (or one read), and one update and one event in a shared commit. A commit
//! that fails is told to all who wait for it, the connection is opened anew, and the next one starts from what is
//! on the disk.

pub mod memory;
pub mod sqlite;

use async_trait::async_trait;
use perennial_core::write::{Applied, Event, FeedPosition, Ticket, TicketKey, Write};
use perennial_core::{ClientId, ServiceMillis, Session, SessionId, SubjectId, UnixMillis};

/// What the service needs of an engine. Every answer is durable before it is given.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The session as the last acknowledged write left it (a linearizable read).
    ///
    /// # Errors
    /// The store is away, or the row is damaged.
    async fn session(&self, sid: SessionId) -> Result<Option<Session>, StoreError>;

    /// Applies one conditional write, its ticket and its event, all or nothing, and answers once it is durable.
    ///
    /// The row is looked at before the ticket, so a write that finds both changed is a conflict. A birth without a
    /// grant finds no row to change: [`Applied::Absent`].
    ///
    /// # Errors
    /// Nothing was applied, or it is not known whether it was: the caller decides again on the row, which
    /// gives the same successor either way (INV-6).
    async fn apply(&self, write: Write) -> Result<Applied, StoreError>;

    /// Sessions of a subject or client in the order of their birth, `limit` at most, after `after`. Fewer than
    /// `limit` are the last ones. A damaged one is left out, and logged: it shall not hide the others.
    ///
    /// # Errors
    /// The store is away.
    async fn sessions(
        &self,
        of: SessionsOf,
        after: Option<SessionId>,
        limit: u16,
    ) -> Result<Vec<(SessionId, Session)>, StoreError>;

    /// Removes an ended session's row if it is still as read; `false` where it is not.
    ///
    /// # Errors
    /// The store is away.
    async fn forget(&self, sid: SessionId, session: &Session) -> Result<bool, StoreError>;

    /// Lays down a ticket; one with the same key is replaced.
    ///
    /// # Errors
    /// The store is away.
    async fn put_ticket(&self, ticket: Ticket) -> Result<(), StoreError>;

    /// Reads a ticket without consuming it. It may have expired: the caller judges by `expires_at`.
    ///
    /// # Errors
    /// The store is away.
    async fn ticket(&self, key: &TicketKey) -> Result<Option<Ticket>, StoreError>;

    /// Takes a ticket: of any number of callers one gets it.
    ///
    /// # Errors
    /// The store is away.
    async fn consume_ticket(&self, key: &TicketKey) -> Result<Option<Ticket>, StoreError>;

    /// Removes up to `limit` tickets that expired before `now`, and says how many.
    ///
    /// # Errors
    /// The store is away.
    async fn sweep_tickets(&self, now: UnixMillis, limit: u16) -> Result<u16, StoreError>;

    /// One record.
    ///
    /// # Errors
    /// The store is away.
    async fn record(&self, kind: RecordKind, key: &str) -> Result<Option<Record>, StoreError>;

    /// Records of a kind in key order, `limit` at most, after `after`.
    ///
    /// # Errors
    /// The store is away.
    async fn records(
        &self,
        kind: RecordKind,
        after: Option<&str>,
        limit: u16,
    ) -> Result<Vec<Record>, StoreError>;

    /// Writes records, all or none: each only if the one that stands there has the version it names.
    /// `false` where one did not, and nothing was written.
    ///
    /// # Errors
    /// The store is away.
    async fn put_records(&self, records: Vec<PutRecord>) -> Result<bool, StoreError>;

    /// Removes a record; `false` where there was none.
    ///
    /// # Errors
    /// The store is away.
    async fn remove_record(&self, kind: RecordKind, key: &str) -> Result<bool, StoreError>;

    /// The service clock as it was last kept; 0 for a new store.
    ///
    /// # Errors
    /// The store is away.
    async fn service_clock(&self) -> Result<ServiceMillis, StoreError>;

    /// Keeps the service clock; an earlier value than the one kept changes nothing.
    ///
    /// # Errors
    /// The store is away.
    async fn keep_service_clock(&self, at: ServiceMillis) -> Result<(), StoreError>;

    /// Audit events after a position, oldest first, `limit` at most.
    ///
    /// # Errors
    /// The store is away.
    async fn events(&self, after: FeedPosition, limit: u16) -> Result<Vec<StoredEvent>, StoreError>;

    /// Finishes what has queued up, makes it durable and lets go of the data folder.
    async fn close(&self);
}

/// Whose sessions to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionsOf {
    /// Everybody's, in key order: for the sweeper.
    All,
    /// One subject's.
    Subject(SubjectId),
    /// One client's.
    Client(ClientId),
}

/// What a record is about; each kind has keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// An account, by subject.
    Account,
    /// The subject of an account, by the name that it signs in with.
    Login,
    /// A client, by `client_id`.
    Client,
    /// What a subject agreed to at a client.
    Consent,
    /// A key, wrapped.
    Key,
}

/// A record as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its kind.
    pub kind: RecordKind,
    /// Its key: at most 1,024 bytes.
    pub key: String,
    /// Rises by one with each write, from 1.
    pub version: u32,
    /// What it says: the owner's own format.
    pub body: Vec<u8>,
}

/// A record to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutRecord {
    /// Its kind.
    pub kind: RecordKind,
    /// Its key.
    pub key: String,
    /// The version that must stand there; 0 where there must be none.
    pub expect: u32,
    /// What it says.
    pub body: Vec<u8>,
}

/// An audit event as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Where it stands.
    pub position: FeedPosition,
    /// The session that it is about.
    pub sid: SessionId,
    /// What happened.
    pub event: Event,
}

/// Why the store did not do what it was asked. All but damage pass: the same request may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine is away or failing; nothing was acknowledged.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The disk is full.
    #[error("the disk that holds the store is full: free some space and it goes on by itself")]
    Full,
    /// More is asked of it than it can queue.
    #[error("the store has as much queued up as it takes")]
    Overloaded,
    /// A row or record is not what was written.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// Which.
        what: String,
        /// How it shows.
        why: String,
    },
    /// A session was to be born under an id too close to another's: the same request, with an id drawn anew,
    /// goes through.
    #[error("the new session's id is too close to another's: draw another")]
    SidTaken,
    /// It was closed: the server is shutting down.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Full | Self::Overloaded | Self::SidTaken | Self::Closed => true,
            Self::Damaged { .. } => false,
        }
    }
}

/// Why a data folder was not opened: one line, with the next step.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such folder, and it could not be made.
    #[error(
        "the data folder {path} does not exist and cannot be created ({why}): create it or choose another with --data"
    )]
    Missing {
        /// The folder.
        path: String,
        /// What the system said.
        why: String,
    },
    /// It cannot be written to.
    #[error(
        "the data folder {path} is not writable ({why}): give this user write access or choose another with --data"
    )]
    NotWritable {
        /// The folder.
        path: String,
        /// What the system said.
        why: String,
    },
    /// Another process has it.
    #[error("the data folder {path} is in use by {holder}: stop that process or choose another with --data")]
    Locked {
        /// The folder.
        path: String,
        /// Who holds it, as the lock file says.
        holder: String,
    },
    /// A newer version wrote it.
    #[error(
        "the data folder {path} was written by a newer version (schema {found}, this version knows {known}): upgrade perennial"
    )]
    Newer {
        /// The folder.
        path: String,
        /// What it has.
        found: u32,
        /// What this version knows.
        known: u32,
    },
    /// It is not what a store looks like, or bits have changed.
    #[error(
        "the store in {path} is damaged ({why}): restore a backup, or move the folder aside to start anew"
    )]
    Damaged {
        /// The folder.
        path: String,
        /// How it shows.
        why: String,
    },
}
