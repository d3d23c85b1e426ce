//! The write loop: decide over the row, write it if it still is as it was read, else decide again on the row
//! that came back. Whoever loses a race sees the winner's row and becomes a replay, so no lock is needed.

use std::sync::Arc;

use perennial_core::session::{Decision, Grant, Reason, Session};
use perennial_core::write::{Applied, Durability, Event, Expect, Write};
use perennial_core::{Generation, Now, SessionId};
use perennial_store::StoreError;

use crate::refusal::{ErrorCode, Refusal};
use crate::service::Service;

/// How often a decision is taken again before the answer is 503: each round, somebody else's write succeeded.
const MOST_ROUNDS: u32 = 64;

/// A decision that stands: durable, where it changed anything.
pub(crate) struct Settled {
    pub(crate) decision: Decision,
    /// The row as the decision left it.
    pub(crate) session: Session,
    /// When it was taken.
    pub(crate) now: Now,
}

/// Why none stands.
#[derive(Debug)]
pub(crate) enum Unsettled {
    /// The row went away meanwhile.
    Gone,
    /// Others kept winning.
    Contended,
    /// Ours. Whether the write was applied may not be known: asked again, the same successor comes of it.
    Store(StoreError),
}

/// What is being decided about, for the event.
#[derive(Clone, Copy)]
pub(crate) struct Matter<'a> {
    pub(crate) sid: SessionId,
    pub(crate) presented: Generation,
    pub(crate) request_id: &'a Arc<str>,
}

/// Decides until a decision stands.
pub(crate) async fn settle(
    service: &Service,
    matter: Matter<'_>,
    mut session: Session,
    decide: impl Fn(&Session, Now) -> Decision + Send,
) -> Result<Settled, Unsettled> {
    for _ in 0..MOST_ROUNDS {
        let now = service.clock.now();
        let decision = decide(&session, now);
        let Some(write) = write_of(matter, &session, &decision, now) else {
            return Ok(Settled { decision, session, now });
        };
        let (hot, grant) = (write.hot, write.grant.clone());
        match service.store.apply(write).await.map_err(Unsettled::Store)? {
            Applied::Applied(_) => {
                session.hot = hot;
                session.hot.version = hot.version.next();
                session.grant = grant.unwrap_or(session.grant);
                return Ok(Settled { decision, session, now });
            }
            Applied::Conflict(row) => session = *row,
            // No decision names a ticket to consume.
            Applied::Absent | Applied::Consumed => return Err(Unsettled::Gone),
        }
    }
    tracing::warn!(sid = %matter.sid, "a decision did not settle in {MOST_ROUNDS} rounds");
    Err(Unsettled::Contended)
}

fn write_of(matter: Matter<'_>, session: &Session, decision: &Decision, now: Now) -> Option<Write> {
    let hot = decision.next?;
    let grant = decision.bind.map(|key| {
        let grant = (*session.grant).clone();
        Arc::new(Grant { bound_key: Some(key), ..grant })
    });
    // What a fast-forward could not mend waits for replicas.
    let is_mended = hot.state == session.hot.state
        && grant.is_none()
        && decision.dispute.is_none()
        && decision.reason != Reason::Redeemed;
    Some(Write {
        sid: matter.sid,
        expect: Expect::Version(session.hot.version),
        hot,
        grant,
        ticket: None,
        event: Event {
            at: now.wall,
            reason: decision.reason,
            generation: hot.generation,
            presented: Some(matter.presented),
            dispute: decision.dispute,
            evidence: hot.evidence,
            request_id: Some(Arc::clone(matter.request_id)),
        },
        durability: if is_mended { Durability::Local } else { Durability::Replicated },
    })
}

impl From<Unsettled> for Refusal {
    fn from(why: Unsettled) -> Self {
        match why {
            Unsettled::Gone => {
                Self::new(ErrorCode::InvalidGrant, "unknown", "The session is not known here.")
            }
            Unsettled::Contended => {
                Self::unavailable("contended", "Too many requests for this session at once. Try again.", 1)
            }
            Unsettled::Store(error) => error.into(),
        }
    }
}
