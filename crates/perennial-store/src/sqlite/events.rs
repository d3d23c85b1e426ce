//! Audit events in their table: appended in the commit of their change, read by position.

use perennial_core::write::{Event, FeedPosition};
use perennial_core::{SessionId, UnixMillis};
use rusqlite::{Connection, params};

use super::trouble::Trouble;
use super::{event_record, integer, session_rows};
use crate::StoredEvent;

/// Appends one.
pub(super) fn append(
    connection: &Connection,
    position: FeedPosition,
    sid: SessionId,
    event: &Event,
) -> Result<(), Trouble> {
    let (high, low) = session_rows::halves(sid);
    connection
        .prepare_cached(
            "INSERT INTO events (position, sid_high, sid_low, at, reason, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            integer(position.0),
            high,
            low,
            integer(event.at.0),
            event.reason.code(),
            event_record::encode(event)
        ])?;
    Ok(())
}

/// Events after a position, oldest first, `limit` at most.
pub(super) fn list(
    connection: &Connection,
    after: FeedPosition,
    limit: u16,
) -> Result<Vec<StoredEvent>, Trouble> {
    let mut statement = connection.prepare_cached(
        "SELECT position, sid_high, sid_low, at, reason, body FROM events WHERE position > ?1
         ORDER BY position LIMIT ?2",
    )?;
    let mut rows = statement.query(params![integer(after.0), limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let position = FeedPosition(row.get::<_, i64>(0)?.cast_unsigned());
        let sid = session_rows::joined(row.get(1)?, row.get(2)?);
        let at = UnixMillis(row.get::<_, i64>(3)?.cast_unsigned());
        let event = event_record::decode(at, row.get(4)?, row.get_ref(5)?.as_blob()?).ok_or_else(|| {
            Trouble::damaged(format!("event {}", position.0), &"it is not what was written")
        })?;
        found.push(StoredEvent { position, sid, event });
    }
    Ok(found)
}

/// Where the newest event stands; 0 where there is none.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<FeedPosition> {
    let sql = "SELECT coalesce(max(position), 0) FROM events";
    connection.query_row(sql, [], |row| Ok(FeedPosition(row.get::<_, i64>(0)?.cast_unsigned())))
}
