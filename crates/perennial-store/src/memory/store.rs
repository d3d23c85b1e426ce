//! The table behind the trait, for tests of what is built on a store.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use perennial_core::write::{Applied, FeedPosition, Ticket, TicketKey, Write};
use perennial_core::{ServiceMillis, Session, SessionId, UnixMillis};

use super::Table;
use crate::{PutRecord, Record, RecordKind, SessionsOf, Store, StoreError, StoredEvent};

/// A store that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    table: Table,
    closed: bool,
}

impl MemoryStore {
    /// A store that begins with what `table` holds.
    #[must_use]
    pub fn with(table: Table) -> Self {
        Self { inner: Mutex::new(Inner { table, closed: false }) }
    }

    /// Everything as it stands: a backup.
    #[must_use]
    pub fn snapshot(&self) -> Table {
        self.lock().table.clone()
    }

    /// Puts an earlier snapshot back, as a failover to a replica that lacks the last writes does.
    pub fn restore(&self, table: Table) {
        self.lock().table = table;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each operation leaves the table whole or panics before it has changed anything.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_table<T>(&self, work: impl FnOnce(&mut Table) -> T) -> Result<T, StoreError> {
        let mut inner = self.lock();
        if inner.closed { Err(StoreError::Closed) } else { Ok(work(&mut inner.table)) }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn session(&self, sid: SessionId) -> Result<Option<Session>, StoreError> {
        self.with_table(|table| table.session(sid).cloned())
    }

    async fn apply(&self, write: Write) -> Result<Applied, StoreError> {
        self.with_table(|table| table.apply(write))
    }

    async fn sessions(
        &self,
        of: SessionsOf,
        after: Option<SessionId>,
        limit: u16,
    ) -> Result<Vec<(SessionId, Session)>, StoreError> {
        self.with_table(|table| table.sessions(&of, after, limit))
    }

    async fn forget(&self, sid: SessionId, session: &Session) -> Result<bool, StoreError> {
        self.with_table(|table| table.forget(sid, session))
    }

    async fn put_ticket(&self, ticket: Ticket) -> Result<(), StoreError> {
        self.with_table(|table| table.put_ticket(ticket))
    }

    async fn ticket(&self, key: &TicketKey) -> Result<Option<Ticket>, StoreError> {
        self.with_table(|table| table.ticket(key).cloned())
    }

    async fn consume_ticket(&self, key: &TicketKey) -> Result<Option<Ticket>, StoreError> {
        self.with_table(|table| table.consume_ticket(key))
    }

    async fn sweep_tickets(&self, now: UnixMillis, limit: u16) -> Result<u16, StoreError> {
        self.with_table(|table| table.sweep_tickets(now, limit))
    }

    async fn record(&self, kind: RecordKind, key: &str) -> Result<Option<Record>, StoreError> {
        self.with_table(|table| table.record(kind, key).cloned())
    }

    async fn records(
        &self,
        kind: RecordKind,
        after: Option<&str>,
        limit: u16,
    ) -> Result<Vec<Record>, StoreError> {
        self.with_table(|table| table.records(kind, after, limit))
    }

    async fn put_records(&self, records: Vec<PutRecord>) -> Result<bool, StoreError> {
        self.with_table(|table| table.put_records(records))
    }

    async fn remove_record(&self, kind: RecordKind, key: &str) -> Result<bool, StoreError> {
        self.with_table(|table| table.remove_record(kind, key))
    }

    async fn service_clock(&self) -> Result<ServiceMillis, StoreError> {
        self.with_table(|table| table.service_clock())
    }

    async fn keep_service_clock(&self, at: ServiceMillis) -> Result<(), StoreError> {
        self.with_table(|table| table.keep_service_clock(at))
    }

    async fn events(&self, after: FeedPosition, limit: u16) -> Result<Vec<StoredEvent>, StoreError> {
        self.with_table(|table| table.events(after, limit).to_vec())
    }

    async fn close(&self) {
        self.lock().closed = true;
    }
}
