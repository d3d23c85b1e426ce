//! Single-use tickets in their table.

use perennial_core::UnixMillis;
use perennial_core::write::{Ticket, TicketKey};
use rusqlite::{Connection, params};

use super::trouble::Trouble;
use super::{checksum, integer};

/// Lays one down; one with the same key is replaced.
pub(super) fn put(connection: &Connection, ticket: &Ticket) -> Result<(), Trouble> {
    let expires_at = integer(ticket.expires_at.0);
    connection
        .prepare_cached("REPLACE INTO tickets (key, expires_at, payload, checksum) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            ticket.key.0,
            expires_at,
            ticket.payload,
            ticket_checksum(&ticket.key, expires_at, &ticket.payload)
        ])?;
    Ok(())
}

/// Reads one.
pub(super) fn read(connection: &Connection, key: &TicketKey) -> Result<Option<Ticket>, Trouble> {
    let mut statement =
        connection.prepare_cached("SELECT expires_at, payload, checksum FROM tickets WHERE key = ?1")?;
    let mut rows = statement.query([&key.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (expires_at, payload): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
    if ticket_checksum(key, expires_at, &payload) != row.get::<_, u32>(2)? {
        return Err(Trouble::damaged("a ticket", &"its checksum does not match"));
    }
    Ok(Some(Ticket { key: key.clone(), expires_at: UnixMillis(expires_at.cast_unsigned()), payload }))
}

/// Takes one.
pub(super) fn consume(connection: &Connection, key: &TicketKey) -> Result<Option<Ticket>, Trouble> {
    let ticket = read(connection, key)?;
    if ticket.is_some() {
        remove(connection, key)?;
    }
    Ok(ticket)
}

/// Whether it can be consumed.
pub(super) fn is_there(connection: &Connection, key: &TicketKey) -> Result<bool, Trouble> {
    Ok(connection.prepare_cached("SELECT 1 FROM tickets WHERE key = ?1")?.exists([&key.0])?)
}

/// Removes one.
pub(super) fn remove(connection: &Connection, key: &TicketKey) -> Result<(), Trouble> {
    connection.prepare_cached("DELETE FROM tickets WHERE key = ?1")?.execute([&key.0])?;
    Ok(())
}

/// Removes those that expired before `now`, `limit` at most, the longest expired first.
pub(super) fn sweep(connection: &Connection, now: UnixMillis, limit: u16) -> Result<u16, Trouble> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM tickets WHERE key IN
             (SELECT key FROM tickets WHERE expires_at < ?1 ORDER BY expires_at, key LIMIT ?2)",
        )?
        .execute(params![integer(now.0), limit])?;
    Ok(u16::try_from(removed).expect("no more than `limit`, which is a u16"))
}

fn ticket_checksum(key: &TicketKey, expires_at: i64, payload: &[u8]) -> u32 {
    checksum(&[&key.0, &expires_at.to_be_bytes(), payload])
}
