//! Connections as the engine needs them, and the schema that they find: numbered migrations, forward only.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::folder::{Folder, damaged, not_writable, shown};
use crate::OpenError;

/// "PRNL": says that a database is ours (`PRAGMA application_id`).
const APPLICATION: i32 = 0x5052_4e4c;

/// Migration n leads from schema n to n + 1 and is never changed once it was released.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001.sql")];

/// How long a connection waits for a person's own sqlite3 to let go of the database.
const BUSY: Duration = Duration::from_secs(5);

/// The connection that writes. Durable when it has committed: `synchronous=FULL` syncs the log at each commit.
pub(super) fn writing(path: &Path, max_pages: Option<u32>) -> rusqlite::Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        let failed = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
        let why = "its file system has no shared memory, which the write-ahead log needs";
        return Err(rusqlite::Error::SqliteFailure(failed, Some(why.into())));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Where fsync does not reach the disk (macOS), this does; elsewhere it changes nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -64 * 1024)?;
    if let Some(pages) = max_pages {
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
    }
    Ok(connection)
}

/// A connection that only reads, beside the one that writes and never waiting for it.
pub(super) fn reading(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "cache_size", -8 * 1024)?;
    Ok(connection)
}

fn open(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    // Each connection belongs to one thread, so SQLite's own mutexes would only cost.
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Brings the folder's database to the newest schema.
pub(super) fn migrate(folder: &Folder, connection: &mut Connection) -> Result<(), OpenError> {
    let known = u32::try_from(MIGRATIONS.len()).expect("there are few migrations");
    let read = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application = read("application_id").map_err(|error| open_error(&folder.path, &error))?;
    let found = read("user_version").map_err(|error| open_error(&folder.path, &error))?;
    if (application, found) != (0, 0) && application != APPLICATION {
        return Err(damaged(&folder.path, &"perennial.db belongs to another program"));
    }
    let found =
        u32::try_from(found).map_err(|_| damaged(&folder.path, &"its schema has a negative number"))?;
    if found > known {
        return Err(OpenError::Newer { path: shown(&folder.path), found, known });
    }
    let pending = MIGRATIONS.iter().zip(1_u32..).skip(found as usize);
    for (migration, leads_to) in pending {
        step(connection, migration, leads_to).map_err(|error| open_error(&folder.path, &error))?;
    }
    Ok(())
}

fn step(connection: &mut Connection, migration: &str, leads_to: u32) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute_batch(migration)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", leads_to)?;
    transaction.commit()
}

/// What an error of SQLite's means to somebody who starts a server.
pub(super) fn open_error(folder: &Path, error: &rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(folder, error),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Locked {
            path: shown(folder),
            holder: "another program that reads its database".into(),
        },
        Some(_) => not_writable(folder, error),
    }
}
