//! What the core asks of a store: one conditional write, and how it went.
//!
//! State and its audit event are one write: no event without its change, no change without its event (INV-7).

use std::sync::Arc;

use crate::ids::{Generation, RowVersion, SessionId};
use crate::session::evidence::Dispute;
use crate::session::{Grant, Hot, Reason, Session};
use crate::time::UnixMillis;

/// One conditional write of one session's row, with the event that goes with it.
#[derive(Clone, Debug)]
pub struct Write {
    /// Which row.
    pub sid: SessionId,
    /// What the row must still be.
    pub expect: Expect,
    /// What it becomes. The store sets the version that follows the expected one.
    pub hot: Hot,
    /// The grant, where it is new or changed.
    pub grant: Option<Arc<Grant>>,
    /// A single-use ticket that goes with the write.
    pub ticket: Option<TicketChange>,
    /// What the audit is told.
    pub event: Event,
    /// Whether it may be lost by a failover.
    pub durability: Durability,
}

/// What the row must be for the write to apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is none yet: the session is born.
    Absent,
    /// It is still at this version.
    Version(RowVersion),
}

/// A single-use secret of another protocol, or what was agreed with it; swept after it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Under which it is found: a hash, never the secret itself.
    pub key: TicketKey,
    /// When it is swept, in wall time.
    pub expires_at: UnixMillis,
    /// What its owner keeps in it.
    pub payload: Vec<u8>,
}

/// A ticket's name: up to 33 bytes, the first of which says what kind it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketKey(pub Vec<u8>);

/// What becomes of a ticket in the same write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TicketChange {
    /// It is laid down.
    Put(Ticket),
    /// It must still be there, and is gone afterwards.
    Consume(TicketKey),
}

/// Whether a failover may lose the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The local disk is enough: fast-forward mends it (rotations).
    Local,
    /// Waits for synchronous replicas where there are any (births, ends, disputes, bindings, tickets).
    Replicated,
}

/// What the audit is told of one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in wall time.
    pub at: UnixMillis,
    /// What happened and why, in one.
    pub reason: Reason,
    /// The generation that the row has afterwards.
    pub generation: Generation,
    /// The generation that was presented, where one was.
    pub presented: Option<Generation>,
    /// How a disputed presentation was judged.
    pub dispute: Option<Dispute>,
    /// The evidence in the row afterwards, in tenths.
    pub evidence: u16,
    /// The request that asked for it.
    pub request_id: Option<Arc<str>>,
}

/// Where an event stands in the store's feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedPosition(pub u64);

/// How a write went.
#[derive(Clone, Debug)]
pub enum Applied {
    /// It is durable.
    Applied(FeedPosition),
    /// The row is not as expected: here it is, decide again.
    Conflict(Box<Session>),
    /// There is no such row (any more).
    Absent,
    /// The ticket that it was to consume is gone.
    Consumed,
}
