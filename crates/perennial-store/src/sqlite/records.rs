//! Records and the service clock in their tables.

use perennial_core::ServiceMillis;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::trouble::Trouble;
use super::{checksum, integer};
use crate::{PutRecord, Record, RecordKind};

/// One record.
pub(super) fn read(connection: &Connection, kind: RecordKind, key: &str) -> Result<Option<Record>, Trouble> {
    let mut statement = connection
        .prepare_cached("SELECT key, version, body, checksum FROM records WHERE kind = ?1 AND key = ?2")?;
    let mut rows = statement.query(params![code(kind), key])?;
    rows.next()?.map(|row| record_of(kind, row)).transpose()
}

/// Records of a kind in key order, `limit` at most, after `after`.
pub(super) fn list(
    connection: &Connection,
    kind: RecordKind,
    after: Option<&str>,
    limit: u16,
) -> Result<Vec<Record>, Trouble> {
    let sql = match after {
        None => {
            "SELECT key, version, body, checksum FROM records WHERE kind = ?1 AND key >= ?2
             ORDER BY key LIMIT ?3"
        }
        Some(_) => {
            "SELECT key, version, body, checksum FROM records WHERE kind = ?1 AND key > ?2
             ORDER BY key LIMIT ?3"
        }
    };
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![code(kind), after.unwrap_or_default(), limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(record_of(kind, row)?);
    }
    Ok(found)
}

/// Writes records, all or none; each finds the ones before it written.
pub(super) fn put_all(connection: &Connection, puts: &[PutRecord]) -> Result<bool, Trouble> {
    connection.execute_batch("SAVEPOINT records")?;
    for put in puts {
        if !put_one(connection, put)? {
            connection.execute_batch("ROLLBACK TO records; RELEASE records")?;
            return Ok(false);
        }
    }
    connection.execute_batch("RELEASE records")?;
    Ok(true)
}

fn put_one(connection: &Connection, put: &PutRecord) -> Result<bool, Trouble> {
    let (kind, key) = (code(put.kind), &put.key);
    let version = put.expect.saturating_add(1);
    let sql = if put.expect == 0 {
        "INSERT INTO records (kind, key, version, body, checksum) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING"
    } else {
        "UPDATE records SET version = ?3, body = ?4, checksum = ?5
         WHERE kind = ?1 AND key = ?2 AND version = ?6"
    };
    let checksum = record_checksum(put.kind, key, version, &put.body);
    let mut statement = connection.prepare_cached(sql)?;
    let written = if put.expect == 0 {
        statement.execute(params![kind, key, version, put.body, checksum])?
    } else {
        statement.execute(params![kind, key, version, put.body, checksum, put.expect])?
    };
    Ok(written == 1)
}

/// Removes a record; `false` where there was none.
pub(super) fn remove(connection: &Connection, kind: RecordKind, key: &str) -> Result<bool, Trouble> {
    let mut statement = connection.prepare_cached("DELETE FROM records WHERE kind = ?1 AND key = ?2")?;
    Ok(statement.execute(params![code(kind), key])? == 1)
}

/// The service clock as it was last kept; 0 in a new store.
pub(super) fn service_clock(connection: &Connection) -> Result<ServiceMillis, Trouble> {
    let mut statement = connection.prepare_cached("SELECT at, checksum FROM service_clock WHERE id = 1")?;
    let kept: Option<(i64, u32)> =
        statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    match kept {
        None => Ok(ServiceMillis(0)),
        Some((at, written)) if checksum(&[&at.to_be_bytes()]) == written => {
            Ok(ServiceMillis(at.cast_unsigned()))
        }
        Some(_) => Err(Trouble::damaged("the service clock", &"its checksum does not match")),
    }
}

/// Keeps the service clock; an earlier value than the one kept changes nothing.
pub(super) fn keep_service_clock(connection: &Connection, at: ServiceMillis) -> Result<(), Trouble> {
    let at = integer(at.0);
    connection
        .prepare_cached(
            "INSERT INTO service_clock (id, at, checksum) VALUES (1, ?1, ?2)
             ON CONFLICT (id) DO UPDATE SET at = ?1, checksum = ?2 WHERE at < ?1",
        )?
        .execute(params![at, checksum(&[&at.to_be_bytes()])])?;
    Ok(())
}

fn record_of(kind: RecordKind, row: &Row<'_>) -> Result<Record, Trouble> {
    let record = Record { kind, key: row.get(0)?, version: row.get(1)?, body: row.get(2)? };
    if record_checksum(kind, &record.key, record.version, &record.body) != row.get::<_, u32>(3)? {
        return Err(Trouble::damaged(
            format!("the {kind:?} record {:?}", record.key),
            &"its checksum does not match",
        ));
    }
    Ok(record)
}

fn record_checksum(kind: RecordKind, key: &str, version: u32, body: &[u8]) -> u32 {
    checksum(&[&[code(kind)], key.as_bytes(), &version.to_be_bytes(), body])
}

/// The stable number of a kind; never given to another.
const fn code(kind: RecordKind) -> u8 {
    match kind {
        RecordKind::Account => 1,
        RecordKind::Login => 2,
        RecordKind::Client => 3,
        RecordKind::Consent => 4,
        RecordKind::Key => 5,
    }
}
