//! A store in memory that can be told to fail, and to hold readers back until they have all read.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use perennial_core::write::{Applied, FeedPosition, Ticket, TicketKey, Write};
use perennial_core::{ServiceMillis, Session, SessionId, UnixMillis};
use perennial_store::memory::MemoryStore;
use perennial_store::{PutRecord, Record, RecordKind, SessionsOf, Store, StoreError, StoredEvent};
use tokio::sync::Barrier;

#[derive(Default)]
pub(crate) struct UnreliableStore {
    pub(crate) inner: MemoryStore,
    failing_reads: Mutex<VecDeque<StoreError>>,
    failing_writes: Mutex<VecDeque<StoreError>>,
    /// A write that is applied although its writer is told that it failed.
    lost_answers: Mutex<u32>,
    barrier: Mutex<Option<std::sync::Arc<Barrier>>>,
    writes: Mutex<u32>,
}

impl UnreliableStore {
    /// The next read of a session fails.
    pub(crate) fn fail_read(&self, error: StoreError) {
        self.failing_reads.lock().unwrap().push_back(error);
    }

    /// The next write fails, and is not applied.
    pub(crate) fn fail_write(&self, error: StoreError) {
        self.failing_writes.lock().unwrap().push_back(error);
    }

    /// The next write is applied, but its answer is lost.
    pub(crate) fn lose_answer(&self) {
        *self.lost_answers.lock().unwrap() += 1;
    }

    /// Readers wait until `count` have read: all of them decide over the same row.
    pub(crate) fn hold_readers(&self, count: usize) {
        *self.barrier.lock().unwrap() = Some(std::sync::Arc::new(Barrier::new(count)));
    }

    pub(crate) fn release_readers(&self) {
        *self.barrier.lock().unwrap() = None;
    }

    /// How many writes were applied.
    pub(crate) fn writes(&self) -> u32 {
        *self.writes.lock().unwrap()
    }
}

#[async_trait]
impl Store for UnreliableStore {
    async fn session(&self, sid: SessionId) -> Result<Option<Session>, StoreError> {
        if let Some(error) = self.failing_reads.lock().unwrap().pop_front() {
            return Err(error);
        }
        let found = self.inner.session(sid).await;
        let barrier = self.barrier.lock().unwrap().clone();
        if let Some(barrier) = barrier {
            barrier.wait().await;
        }
        found
    }

    async fn apply(&self, write: Write) -> Result<Applied, StoreError> {
        if let Some(error) = self.failing_writes.lock().unwrap().pop_front() {
            return Err(error);
        }
        let applied = self.inner.apply(write).await?;
        if matches!(applied, Applied::Applied(_)) {
            *self.writes.lock().unwrap() += 1;
            let mut lost = self.lost_answers.lock().unwrap();
            if *lost > 0 {
                *lost -= 1;
                return Err(StoreError::Unavailable("the answer was lost".to_owned()));
            }
        }
        Ok(applied)
    }

    async fn sessions(
        &self,
        of: SessionsOf,
        after: Option<SessionId>,
        limit: u16,
    ) -> Result<Vec<(SessionId, Session)>, StoreError> {
        self.inner.sessions(of, after, limit).await
    }

    async fn forget(&self, sid: SessionId, session: &Session) -> Result<bool, StoreError> {
        self.inner.forget(sid, session).await
    }

    async fn put_ticket(&self, ticket: Ticket) -> Result<(), StoreError> {
        self.inner.put_ticket(ticket).await
    }

    async fn ticket(&self, key: &TicketKey) -> Result<Option<Ticket>, StoreError> {
        self.inner.ticket(key).await
    }

    async fn consume_ticket(&self, key: &TicketKey) -> Result<Option<Ticket>, StoreError> {
        self.inner.consume_ticket(key).await
    }

    async fn sweep_tickets(&self, now: UnixMillis, limit: u16) -> Result<u16, StoreError> {
        self.inner.sweep_tickets(now, limit).await
    }

    async fn record(&self, kind: RecordKind, key: &str) -> Result<Option<Record>, StoreError> {
        self.inner.record(kind, key).await
    }

    async fn records(
        &self,
        kind: RecordKind,
        after: Option<&str>,
        limit: u16,
    ) -> Result<Vec<Record>, StoreError> {
        self.inner.records(kind, after, limit).await
    }

    async fn put_records(&self, records: Vec<PutRecord>) -> Result<bool, StoreError> {
        self.inner.put_records(records).await
    }

    async fn remove_record(&self, kind: RecordKind, key: &str) -> Result<bool, StoreError> {
        self.inner.remove_record(kind, key).await
    }

    async fn service_clock(&self) -> Result<ServiceMillis, StoreError> {
        self.inner.service_clock().await
    }

    async fn keep_service_clock(&self, at: ServiceMillis) -> Result<(), StoreError> {
        self.inner.keep_service_clock(at).await
    }

    async fn events(&self, after: FeedPosition, limit: u16) -> Result<Vec<StoredEvent>, StoreError> {
        self.inner.events(after, limit).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
