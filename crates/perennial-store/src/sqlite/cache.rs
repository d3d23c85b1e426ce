//! Whole sessions in memory, as the last acknowledged write left them.
//!
//! Only the writer fills it, after its commit and before it acknowledges. A reader that read a row while a commit
//! changed it could otherwise put the older row over the newer one, for as long as nobody writes; and a session
//! that is in the cache is the one that was acknowledged, so reading it is a linearizable read.
//!
//! A rotation writes the hot record alone, and the writer shall not read the grant for it. So readers leave here
//! what grant they read at which version; the writer takes it where its write found just that version, which
//! proves that the grant is still that one.

use std::sync::Arc;

use perennial_core::session::Grant;
use perennial_core::{RowVersion, Session, SessionId};
use quick_cache::sync::Cache;

/// How many grants that were read wait for the write that follows: reads are followed by theirs at once.
const GRANTS_READ: usize = 16 * 1024;

/// The cache, bounded by the number of sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    written: Cache<SessionId, Session>,
    grants_read: Cache<SessionId, (RowVersion, Arc<Grant>)>,
}

impl Sessions {
    pub(super) fn new(capacity: usize) -> Self {
        Self { written: Cache::new(capacity), grants_read: Cache::new(GRANTS_READ) }
    }

    pub(super) fn session(&self, sid: SessionId) -> Option<Session> {
        self.written.get(&sid)
    }

    /// What a reader found in the table.
    pub(super) fn was_read(&self, sid: SessionId, session: &Session) {
        self.grants_read.insert(sid, (session.hot.version, session.grant.clone()));
    }

    /// The grant that the row had at `version`, where one is known.
    pub(super) fn grant_at(&self, sid: SessionId, version: RowVersion) -> Option<Arc<Grant>> {
        let written = self.written.peek(&sid).filter(|session| session.hot.version == version);
        match written {
            Some(session) => Some(session.grant),
            None => {
                self.grants_read.remove_if(&sid, |(read, _)| *read == version).map(|(_, (_, grant))| grant)
            }
        }
    }

    /// What a commit left, before it is acknowledged; `None` where the row is gone or not wholly known.
    pub(super) fn committed(&self, sid: SessionId, session: Option<Session>) {
        match session {
            Some(session) => self.written.insert(sid, session),
            None => self.unknown(sid),
        }
    }

    /// Nothing is known of a row any more: what is asked for next is read from the table.
    pub(super) fn unknown(&self, sid: SessionId) {
        self.written.remove(&sid);
        self.grants_read.remove(&sid);
    }
}
