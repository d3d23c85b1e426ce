//! A session's two records in their tables: reading them, and the conditional write.

use std::sync::Arc;

use perennial_core::session::{Grant, HOT_LEN, Hot};
use perennial_core::write::{Applied, Expect, TicketChange, Write};
use perennial_core::{ClientId, RowVersion, Session, SessionId, SubjectId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::trouble::Trouble;
use super::writer::Round;
use super::{events, grant_record, tickets};
use crate::SessionsOf;

macro_rules! session_columns {
    () => {
        "SELECT h.sid_high, h.sid_low, h.version, h.record, s.name, c.name, g.body FROM hot h
         LEFT JOIN grants g ON g.sid_high = h.sid_high
         LEFT JOIN subjects s ON s.id = g.subject
         LEFT JOIN clients c ON c.id = g.client "
    };
}

/// A session id as the two integers that it is stored as.
///
/// The upper one leads with the time of birth, so it is positive until the year 6429 and sorts like the id.
pub(super) fn halves(sid: SessionId) -> (i64, i64) {
    let id = u128::from_be_bytes(sid.0);
    let low = u64::try_from(id & u128::from(u64::MAX)).expect("masked to 64 bits");
    let high = u64::try_from(id >> 64).expect("64 bits are left");
    (high.cast_signed(), low.cast_signed())
}

/// The session id that two integers are the halves of.
pub(super) fn joined(high: i64, low: i64) -> SessionId {
    let id = u128::from(high.cast_unsigned()) << 64 | u128::from(low.cast_unsigned());
    SessionId(id.to_be_bytes())
}

/// The session as it stands in this connection's transaction.
pub(super) fn read(connection: &Connection, sid: SessionId) -> Result<Option<Session>, Trouble> {
    let (high, low) = halves(sid);
    let sql = concat!(session_columns!(), "WHERE h.sid_high = ?1 AND h.sid_low = ?2");
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([high, low])?;
    match rows.next()? {
        None => Ok(None),
        Some(row) => session_of(row).map(|(_, session)| Some(session)),
    }
}

/// Sessions in the order of their birth. One that is damaged is left out and told to the log, so that it costs
/// the others nothing.
pub(super) fn list(
    connection: &Connection,
    of: &SessionsOf,
    after: Option<SessionId>,
    limit: u16,
) -> Result<Vec<(SessionId, Session)>, Trouble> {
    let (sql, name) = match of {
        SessionsOf::All => (concat!(session_columns!(), "WHERE h.sid_high > ?1 ORDER BY h.sid_high"), None),
        SessionsOf::Subject(subject) => (
            concat!(
                session_columns!(),
                "WHERE g.subject = (SELECT id FROM subjects WHERE name = ?2) AND g.sid_high > ?1
                 ORDER BY g.sid_high"
            ),
            Some(subject.as_str()),
        ),
        SessionsOf::Client(client) => (
            concat!(
                session_columns!(),
                "WHERE g.client = (SELECT id FROM clients WHERE name = ?2) AND g.sid_high > ?1
                 ORDER BY g.sid_high"
            ),
            Some(client.as_str()),
        ),
    };
    let after = after.map_or(i64::MIN, |sid| halves(sid).0);
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = match name {
        None => statement.query(params![after])?,
        Some(name) => statement.query(params![after, name])?,
    };
    let mut found = Vec::new();
    while found.len() < usize::from(limit) {
        let Some(row) = rows.next()? else { break };
        match session_of(row) {
            Ok(session) => found.push(session),
            Err(damage @ Trouble::Damaged { .. }) => tracing::error!(%damage, "left out of a list"),
            Err(trouble @ (Trouble::Sql(_) | Trouble::SidTaken)) => return Err(trouble),
        }
    }
    Ok(found)
}

fn session_of(row: &Row<'_>) -> Result<(SessionId, Session), Trouble> {
    let sid = joined(row.get(0)?, row.get(1)?);
    let damaged = |why: &dyn std::fmt::Display| Trouble::damaged(format!("session {sid}"), why);
    let version: u32 = row.get(2)?;
    let record: [u8; HOT_LEN] =
        row.get_ref(3)?.as_blob()?.try_into().map_err(|_| damaged(&"its record has another length"))?;
    let hot = Hot::decode(&record).map_err(|why| damaged(&why))?;
    if hot.version != RowVersion(version) {
        return Err(damaged(&"its version is not its record's"));
    }
    let subject = row.get_ref(4)?.as_str_or_null()?.ok_or_else(|| damaged(&"its grant is gone"))?;
    let client = row.get_ref(5)?.as_str_or_null()?.ok_or_else(|| damaged(&"its grant is gone"))?;
    let body = row.get_ref(6)?.as_blob()?;
    let grant = grant_record::decode(sid, SubjectId::from(subject), ClientId::from(client), body);
    let grant = Arc::new(grant.map_err(|why| damaged(&why))?);
    Ok((sid, Session { grant, hot }))
}

/// One conditional write, its ticket and its event; all of it, or nothing where the answer is not `Applied`.
///
/// A rotation costs two statements: the update of the hot row and the event.
pub(super) fn apply(write: &Write, round: &mut Round<'_>) -> Result<Applied, Trouble> {
    match write.expect {
        Expect::Absent => birth(write, round),
        Expect::Version(version) => change(write, version, round),
    }
}

fn birth(write: &Write, round: &mut Round<'_>) -> Result<Applied, Trouble> {
    let connection = round.connection;
    let (high, low) = halves(write.sid);
    let mut standing = connection.prepare_cached("SELECT sid_low FROM hot WHERE sid_high = ?1")?;
    match standing.query_row([high], |row| row.get::<_, i64>(0)).optional()? {
        Some(standing) if standing == low => return conflict(connection, write.sid),
        Some(_) => return Err(Trouble::SidTaken),
        None => {}
    }
    let Some(grant) = &write.grant else { return Ok(Applied::Absent) };
    if !ticket_is_there(connection, write)? {
        return Ok(Applied::Consumed);
    }
    let hot = Hot { version: RowVersion(0), ..write.hot };
    connection
        .prepare_cached("INSERT INTO hot (sid_high, sid_low, version, record) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![high, low, hot.version.0, hot.encode()])?;
    put_grant(connection, write.sid, grant)?;
    finish(write, Some(grant.clone()), hot, round)
}

fn change(write: &Write, expected: RowVersion, round: &mut Round<'_>) -> Result<Applied, Trouble> {
    let connection = round.connection;
    if !ticket_is_there(connection, write)? {
        let standing = read(connection, write.sid)?;
        return Ok(match standing {
            None => Applied::Absent,
            Some(session) if session.hot.version == expected => Applied::Consumed,
            Some(session) => Applied::Conflict(Box::new(session)),
        });
    }
    let (high, low) = halves(write.sid);
    let hot = Hot { version: expected.next(), ..write.hot };
    let changed = connection
        .prepare_cached(
            "UPDATE hot SET version = ?1, record = ?2 WHERE sid_high = ?3 AND sid_low = ?4 AND version = ?5",
        )?
        .execute(params![hot.version.0, hot.encode(), high, low, expected.0])?;
    if changed == 0 {
        return conflict(connection, write.sid);
    }
    let grant = match &write.grant {
        Some(grant) => {
            put_grant(connection, write.sid, grant)?;
            Some(grant.clone())
        }
        None => round.grant_at(write.sid, expected),
    };
    finish(write, grant, hot, round)
}

fn conflict(connection: &Connection, sid: SessionId) -> Result<Applied, Trouble> {
    let standing = read(connection, sid)?;
    Ok(standing.map_or(Applied::Absent, |session| Applied::Conflict(Box::new(session))))
}

fn ticket_is_there(connection: &Connection, write: &Write) -> Result<bool, Trouble> {
    match &write.ticket {
        None | Some(TicketChange::Put(_)) => Ok(true),
        Some(TicketChange::Consume(key)) => tickets::is_there(connection, key),
    }
}

fn finish(
    write: &Write,
    grant: Option<Arc<Grant>>,
    hot: Hot,
    round: &mut Round<'_>,
) -> Result<Applied, Trouble> {
    match &write.ticket {
        None => {}
        Some(TicketChange::Put(ticket)) => tickets::put(round.connection, ticket)?,
        Some(TicketChange::Consume(key)) => tickets::remove(round.connection, key)?,
    }
    let position = round.next_position();
    events::append(round.connection, position, write.sid, &write.event)?;
    round.changed(write.sid, grant.map(|grant| Session { grant, hot }));
    Ok(Applied::Applied(position))
}

fn put_grant(connection: &Connection, sid: SessionId, grant: &Grant) -> Result<(), Trouble> {
    let subject = interned(
        connection,
        "SELECT id FROM subjects WHERE name = ?1",
        "INSERT INTO subjects (name) VALUES (?1)",
        grant.subject.as_str(),
    )?;
    let client = interned(
        connection,
        "SELECT id FROM clients WHERE name = ?1",
        "INSERT INTO clients (name) VALUES (?1)",
        grant.client.as_str(),
    )?;
    let body = grant_record::encode(sid, grant);
    connection
        .prepare_cached(
            "INSERT INTO grants (sid_high, subject, client, body) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (sid_high) DO UPDATE SET subject = ?2, client = ?3, body = ?4",
        )?
        .execute(params![halves(sid).0, subject, client, body.as_slice()])?;
    Ok(())
}

fn interned(connection: &Connection, find: &str, add: &str, name: &str) -> Result<i64, Trouble> {
    let found = connection.prepare_cached(find)?.query_row([name], |row| row.get(0)).optional()?;
    match found {
        Some(id) => Ok(id),
        None => Ok(connection.prepare_cached(add)?.insert([name])?),
    }
}

/// Removes a row that is still at this version.
pub(super) fn forget(sid: SessionId, version: RowVersion, round: &mut Round<'_>) -> Result<bool, Trouble> {
    let (high, low) = halves(sid);
    let removed = round
        .connection
        .prepare_cached("DELETE FROM hot WHERE sid_high = ?1 AND sid_low = ?2 AND version = ?3")?
        .execute(params![high, low, version.0])?;
    if removed == 0 {
        return Ok(false);
    }
    round.connection.prepare_cached("DELETE FROM grants WHERE sid_high = ?1")?.execute([high])?;
    round.changed(sid, None);
    Ok(true)
}
