//! What happens to sessions without anybody asking: lifetimes that have run out are written down once, ended
//! sessions are forgotten after a month, and whole groups of sessions end on command.

use perennial_core::session::EndCause;
use perennial_core::session::change::{Change, change};
use perennial_core::session::{Session, State};
use perennial_core::write::{Applied, Durability, Event, Expect, Write};
use perennial_core::{Now, SessionId};
use perennial_store::{SessionsOf, StoreError};

use crate::service::Service;

/// How long an ended session is remembered, in milliseconds: 30 days.
pub const RETENTION_MS: u64 = 30 * 24 * 3_600_000;

/// How many sessions one slice looks at.
const SLICE: u16 = 256;

/// Sweeps the next slice of sessions, in key order, and expired tickets; answers where the next slice starts,
/// `None` after the last.
///
/// # Errors
/// The store is away, or a row is damaged; what was swept stays swept.
pub async fn sweep_slice(
    service: &Service,
    after: Option<SessionId>,
) -> Result<Option<SessionId>, StoreError> {
    let sessions = service.store.sessions(SessionsOf::All, after, SLICE).await?;
    let next = if sessions.len() < usize::from(SLICE) { None } else { sessions.last().map(|(sid, _)| *sid) };
    for (sid, session) in sessions {
        let now = service.clock.now();
        if is_forgettable(&session, now) {
            service.store.forget(sid, &session).await?;
        } else if alter(service, sid, session, Change::Lapse).await? {
            tracing::info!(%sid, "lapsed");
        }
    }
    service.store.sweep_tickets(service.clock.now().wall, SLICE).await?;
    Ok(next)
}

/// Ends all sessions of a subject or client that have not ended, and says how many.
///
/// # Errors
/// The store is away, or a row is damaged; asked again, it goes on with those that are left.
pub async fn end_sessions_of(service: &Service, of: SessionsOf, cause: EndCause) -> Result<u32, StoreError> {
    let (mut ended, mut after) = (0, None);
    loop {
        let sessions = service.store.sessions(of.clone(), after, SLICE).await?;
        let is_last = sessions.len() < usize::from(SLICE);
        after = sessions.last().map(|(sid, _)| *sid);
        for (sid, session) in sessions {
            if alter(service, sid, session, Change::End { cause }).await? {
                tracing::info!(%sid, %cause, "ended");
                ended += 1;
            }
        }
        if is_last {
            return Ok(ended);
        }
    }
}

fn is_forgettable(session: &Session, now: Now) -> bool {
    match session.hot.state {
        State::Ended { at, .. } => now.wall >= at.plus(RETENTION_MS),
        State::Active | State::Ending { .. } | State::Contested { .. } => false,
    }
}

/// Changes a session if it is (still) to be changed; races are decided on the row that won.
async fn alter(
    service: &Service,
    sid: SessionId,
    mut session: Session,
    what: Change,
) -> Result<bool, StoreError> {
    loop {
        let now = service.clock.now();
        let Ok(changed) = change(&session, what, now) else { return Ok(false) };
        let write = Write {
            sid,
            expect: Expect::Version(session.hot.version),
            hot: changed.next,
            grant: None,
            ticket: None,
            event: Event {
                at: now.wall,
                reason: changed.reason,
                generation: changed.next.generation,
                presented: None,
                dispute: None,
                evidence: changed.next.evidence,
                request_id: None,
            },
            durability: Durability::Replicated,
        };
        match service.store.apply(write).await? {
            Applied::Applied(_) => return Ok(true),
            Applied::Conflict(row) => session = *row,
            Applied::Absent | Applied::Consumed => return Ok(false),
        }
    }
}
