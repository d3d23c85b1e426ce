//! The data folder and its lock: one process at a time, and who it is.
//!
//! The lock is the operating system's, so it goes with its holder however that dies; the file's text only tells
//! people who holds it. SQLite's own EXCLUSIVE mode would do the same but forbid reading connections.

use std::fmt::Display;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::OpenError;

const HEADER: &[u8; 16] = b"SQLite format 3\0";

/// A data folder that this process holds until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder where its parent exists, and takes it.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        create(path)?;
        let lock = lock(path)?;
        Ok(Self { path: path.into(), _lock: lock })
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join("perennial.db")
    }

    pub(super) fn write_ahead_log(&self) -> PathBuf {
        self.path.join("perennial.db-wal")
    }

    /// Makes the database's file, for its owner's eyes only, or looks whether what is there is a database.
    ///
    /// SQLite must not have the file open yet: closing a file drops every POSIX lock that its process has on it.
    pub(super) fn check_database_file(&self) -> Result<(), OpenError> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.database());
        let mut file = opened.map_err(|error| not_writable(&self.path, &error))?;
        let mut header = Vec::with_capacity(HEADER.len());
        let read = io::Read::by_ref(&mut file).take(HEADER.len() as u64).read_to_end(&mut header);
        read.map_err(|error| damaged(&self.path, &error))?;
        if header.is_empty() || header == HEADER {
            Ok(())
        } else {
            Err(damaged(&self.path, &"perennial.db is not an SQLite database"))
        }
    }
}

fn create(path: &Path) -> Result<(), OpenError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if path.is_dir() {
                Ok(())
            } else {
                Err(not_writable(path, &"it is not a folder"))
            }
        }
        Err(error) => Err(OpenError::Missing { path: shown(path), why: error.to_string() }),
    }
}

/// Makes the folder's own entry durable; SQLite does so for the files in it when it first syncs its log.
fn sync_parent(path: &Path) -> Result<(), OpenError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(parent).and_then(|parent| parent.sync_all());
    synced.map_err(|error| not_writable(path, &error))
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.join("lock"));
    let mut file = opened.map_err(|error| not_writable(path, &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(OpenError::Locked { path: shown(path), holder: holder(&mut file) });
        }
        Err(TryLockError::Error(error)) => return Err(not_writable(path, &error)),
    }
    let since = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC");
    let text = format!("process {} since {since}\n", std::process::id());
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
    written.map_err(|error| not_writable(path, &error))?;
    Ok(file)
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // Between its lock and its line a holder has no name yet.
    let read = io::Read::by_ref(file).take(200).read_to_string(&mut text);
    let line = text.lines().next().unwrap_or_default();
    if read.is_err() || line.is_empty() { "another process".into() } else { line.into() }
}

pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}

pub(super) fn not_writable(path: &Path, why: &dyn Display) -> OpenError {
    OpenError::NotWritable { path: shown(path), why: why.to_string() }
}

pub(super) fn damaged(path: &Path, why: &dyn Display) -> OpenError {
    OpenError::Damaged { path: shown(path), why: why.to_string() }
}
