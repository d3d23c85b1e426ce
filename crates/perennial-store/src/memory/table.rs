//! What every engine must answer, in the plainest form: maps, synchronous, no clock.
//!
//! An engine that answers otherwise is wrong. The simulator keeps its sessions here, and a clone of the table is
//! a backup: putting it back is a failover that lost the writes since.

use std::collections::BTreeMap;
use std::ops::Bound;

use perennial_core::write::{Applied, Event, Expect, FeedPosition, Ticket, TicketChange, TicketKey, Write};
use perennial_core::{RowVersion, ServiceMillis, Session, SessionId, UnixMillis};

use crate::{PutRecord, Record, RecordKind, SessionsOf, StoredEvent};

/// All that a store holds.
#[derive(Clone, Debug, Default)]
pub struct Table {
    sessions: BTreeMap<SessionId, Session>,
    tickets: BTreeMap<TicketKey, Ticket>,
    records: BTreeMap<RecordKind, BTreeMap<String, Record>>,
    clock: ServiceMillis,
    position: FeedPosition,
    events: Vec<StoredEvent>,
    events_kept: EventsKept,
}

/// What becomes of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventsKept {
    /// All are there to be read.
    #[default]
    All,
    /// They only move the position on: for simulations of hundreds of millions of refreshes.
    Counted,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(events_kept: EventsKept) -> Self {
        Self { events_kept, ..Self::default() }
    }

    /// The session as the last write left it.
    #[must_use]
    pub fn session(&self, sid: SessionId) -> Option<&Session> {
        self.sessions.get(&sid)
    }

    /// Applies one conditional write, its ticket and its event, all or nothing.
    ///
    /// The row is looked at first, then the ticket: a write that finds both changed is a conflict. A birth
    /// without a grant finds no row to change, so it is [`Applied::Absent`].
    pub fn apply(&mut self, write: Write) -> Applied {
        let Write { sid, expect, hot, grant, ticket, event, durability: _ } = write;
        let standing = self.sessions.get(&sid);
        let (grant, version) = match (expect, standing) {
            (Expect::Absent, Some(session)) => return Applied::Conflict(Box::new(session.clone())),
            (Expect::Absent, None) => match grant {
                Some(grant) => (grant, RowVersion(0)),
                None => return Applied::Absent,
            },
            (Expect::Version(_), None) => return Applied::Absent,
            (Expect::Version(expected), Some(session)) => {
                if session.hot.version != expected {
                    return Applied::Conflict(Box::new(session.clone()));
                }
                (grant.unwrap_or_else(|| session.grant.clone()), expected.next())
            }
        };
        match ticket {
            None => {}
            Some(TicketChange::Put(ticket)) => self.put_ticket(ticket),
            Some(TicketChange::Consume(key)) if self.tickets.remove(&key).is_none() => {
                return Applied::Consumed;
            }
            Some(TicketChange::Consume(_)) => {}
        }
        let hot = perennial_core::session::Hot { version, ..hot };
        self.sessions.insert(sid, Session { grant, hot });
        Applied::Applied(self.note(sid, event))
    }

    fn note(&mut self, sid: SessionId, event: Event) -> FeedPosition {
        self.position = FeedPosition(self.position.0 + 1);
        match self.events_kept {
            EventsKept::All => self.events.push(StoredEvent { position: self.position, sid, event }),
            EventsKept::Counted => {}
        }
        self.position
    }

    /// Sessions in the order of their birth, `limit` at most, after `after`.
    #[must_use]
    pub fn sessions(
        &self,
        of: &SessionsOf,
        after: Option<SessionId>,
        limit: u16,
    ) -> Vec<(SessionId, Session)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.sessions
            .range((from, Bound::Unbounded))
            .filter(|(_, session)| match of {
                SessionsOf::All => true,
                SessionsOf::Subject(subject) => session.grant.subject == *subject,
                SessionsOf::Client(client) => session.grant.client == *client,
            })
            .take(limit.into())
            .map(|(sid, session)| (*sid, session.clone()))
            .collect()
    }

    /// Removes a row that is still at the version of `session`; `false` where it is not.
    pub fn forget(&mut self, sid: SessionId, session: &Session) -> bool {
        let as_read =
            self.sessions.get(&sid).is_some_and(|standing| standing.hot.version == session.hot.version);
        as_read && self.sessions.remove(&sid).is_some()
    }

    /// Lays down a ticket; one with the same key is replaced.
    pub fn put_ticket(&mut self, ticket: Ticket) {
        self.tickets.insert(ticket.key.clone(), ticket);
    }

    /// Reads a ticket without consuming it.
    #[must_use]
    pub fn ticket(&self, key: &TicketKey) -> Option<&Ticket> {
        self.tickets.get(key)
    }

    /// Takes a ticket.
    pub fn consume_ticket(&mut self, key: &TicketKey) -> Option<Ticket> {
        self.tickets.remove(key)
    }

    /// Removes up to `limit` tickets that expired before `now`, the longest expired first; says how many.
    pub fn sweep_tickets(&mut self, now: UnixMillis, limit: u16) -> u16 {
        let mut expired: Vec<(UnixMillis, TicketKey)> = self
            .tickets
            .values()
            .filter(|ticket| ticket.expires_at < now)
            .map(|ticket| (ticket.expires_at, ticket.key.clone()))
            .collect();
        expired.sort();
        expired.truncate(limit.into());
        for (_, key) in &expired {
            self.tickets.remove(key);
        }
        u16::try_from(expired.len()).expect("no more than `limit`, which is a u16")
    }

    /// One record.
    #[must_use]
    pub fn record(&self, kind: RecordKind, key: &str) -> Option<&Record> {
        self.records.get(&kind)?.get(key)
    }

    /// Records of a kind in key order, `limit` at most, after `after`.
    #[must_use]
    pub fn records(&self, kind: RecordKind, after: Option<&str>, limit: u16) -> Vec<Record> {
        let Some(records) = self.records.get(&kind) else { return Vec::new() };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let after = records.range::<str, _>((from, Bound::Unbounded));
        after.take(limit.into()).map(|(_, record)| record.clone()).collect()
    }

    /// Writes records, all or none; each finds the ones before it written.
    pub fn put_records(&mut self, puts: Vec<PutRecord>) -> bool {
        let mut staged: BTreeMap<(RecordKind, String), Record> = BTreeMap::new();
        for PutRecord { kind, key, expect, body } in puts {
            let place = (kind, key);
            let standing = staged.get(&place).or_else(|| self.record(kind, &place.1));
            if standing.map_or(0, |record| record.version) != expect {
                return false;
            }
            let record = Record { kind, key: place.1.clone(), version: expect.saturating_add(1), body };
            staged.insert(place, record);
        }
        for ((kind, key), record) in staged {
            self.records.entry(kind).or_default().insert(key, record);
        }
        true
    }

    /// Removes a record; `false` where there was none.
    pub fn remove_record(&mut self, kind: RecordKind, key: &str) -> bool {
        self.records.get_mut(&kind).is_some_and(|records| records.remove(key).is_some())
    }

    /// The service clock as it was last kept; 0 in a new table.
    #[must_use]
    pub const fn service_clock(&self) -> ServiceMillis {
        self.clock
    }

    /// Keeps the service clock; an earlier value than the one kept changes nothing.
    pub fn keep_service_clock(&mut self, at: ServiceMillis) {
        self.clock = self.clock.max(at);
    }

    /// Events after a position, oldest first, `limit` at most.
    #[must_use]
    pub fn events(&self, after: FeedPosition, limit: u16) -> &[StoredEvent] {
        let from = self.events.partition_point(|event| event.position <= after);
        let later = &self.events[from..];
        &later[..later.len().min(limit.into())]
    }

    /// Where the newest event stands.
    #[must_use]
    pub const fn position(&self) -> FeedPosition {
        self.position
    }
}
