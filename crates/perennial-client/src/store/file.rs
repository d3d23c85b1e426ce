//! Credentials in a file, shared by any number of processes of one user.
//!
//! The file is replaced, never changed: a new one is written beside it, synced, and renamed over it, so a crash or
//! a full disk leaves either the old value or the new one. The lock is a file of its own, because a lock on a file
//! that is replaced would lock nothing; it is the kernel's (`flock`), so a dead holder frees it. Both stay in
//! place when unused. The folder is 0700, the files 0600.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::credentials::{CREDENTIALS_VERSION, Credentials};
use crate::engine::StoreFailure;
use crate::store::{Store, StoreLock};

/// A credential file larger than this is not one of ours.
const FILE_MAX_BYTES: u64 = 1 << 20;
/// The longest name of a profile.
const PROFILE_NAME_MAX: usize = 64;

/// Keeps credentials in a file.
#[derive(Clone, Debug)]
pub struct FileStore {
    path: PathBuf,
}

/// A profile cannot be found by this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileNameError {
    /// The name would not make a safe file name.
    #[error("`{0}` cannot name a profile: use up to 64 letters, digits, `-`, `_` and `.`, not first a `.`")]
    Name(String),
    /// Neither `XDG_STATE_HOME` nor `HOME` says where the user's files are.
    #[error("set HOME or XDG_STATE_HOME: the folder for credentials is not known without")]
    NoHome,
}

impl FileStore {
    /// The file of a profile: `$XDG_STATE_HOME/perennial/PROFILE.json`, by default under `~/.local/state`.
    ///
    /// # Errors
    /// The name is not fit for a file, or the user has no home.
    pub fn for_profile(profile: &str) -> Result<Self, ProfileNameError> {
        let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let short = (1..=PROFILE_NAME_MAX).contains(&profile.len());
        if !short || profile.starts_with('.') || !profile.chars().all(fit) {
            return Err(ProfileNameError::Name(profile.to_owned()));
        }
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .ok_or(ProfileNameError::NoHome)?;
        Ok(Self::at(state.join("perennial").join(format!("{profile}.json"))))
    }

    /// The file at this path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the credentials are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    fn open_lock(&self) -> io::Result<File> {
        create_private_folder(self.folder())?;
        let path = self.beside(".lock");
        match private(OpenOptions::new().read(true).write(true).create(true)).open(&path) {
            // On a read-only disk the lock still works, so that processes agree on who tries.
            Err(error) => File::open(&path).map_err(|_| error),
            opened => opened,
        }
    }

    fn read_bytes(&self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        create_private_folder(self.folder())?;
        let new_path = self.beside(".new");
        let written = self.write_new(&new_path, bytes).and_then(|()| fs::rename(&new_path, &self.path));
        if written.is_err() {
            // It never became the credentials; left behind it would only keep a full disk full.
            drop(fs::remove_file(&new_path));
        }
        written?;
        File::open(self.folder())?.sync_all()
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // What a crash left here may have other permissions; a new file has ours.
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = private(OpenOptions::new().write(true).create_new(true)).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Damaged credentials are evidence and may be repairable: they are moved, under the lock, never overwritten.
    fn move_aside(&self) -> StoreFailure {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let aside = self.beside(&format!(".damaged-{now}"));
        match fs::rename(&self.path, &aside) {
            Ok(()) => StoreFailure::Corrupt {
                path: self.path.display().to_string(),
                moved_to: aside.display().to_string(),
            },
            Err(error) => self.failure("moved aside, though it is damaged", &error),
        }
    }

    fn failure(&self, verb: &'static str, error: &io::Error) -> StoreFailure {
        StoreFailure::Io { path: self.path.display().to_string(), verb, cause: error.to_string() }
    }
}

impl Store for FileStore {
    fn lock(&self) -> Result<StoreLock, StoreFailure> {
        let locked = self.open_lock().and_then(|file| file.lock().map(|()| file));
        locked.map(StoreLock::held_by).map_err(|error| self.failure("locked", &error))
    }

    fn read(&self, lock: Option<&StoreLock>) -> Result<Option<Credentials>, StoreFailure> {
        let bytes = self.read_bytes().map_err(|error| self.failure("read", &error))?;
        let Some(bytes) = bytes else { return Ok(None) };
        match parse(&bytes) {
            Ok(credentials) => Ok(Some(credentials)),
            Err(Unread::Newer) => Err(StoreFailure::Newer { path: self.path.display().to_string() }),
            Err(Unread::Damaged) if lock.is_some() => Err(self.move_aside()),
            // Somebody may be putting it right at this moment.
            Err(Unread::Damaged) => self.read(Some(&self.lock()?)),
        }
    }

    fn write(&self, _lock: &StoreLock, credentials: &Credentials) -> Result<(), StoreFailure> {
        let bytes = serde_json::to_vec_pretty(credentials).map(Zeroizing::new).map_err(io::Error::from);
        bytes.and_then(|bytes| self.replace(&bytes)).map_err(|error| self.failure("written", &error))
    }
}

enum Unread {
    Newer,
    Damaged,
}

fn parse(bytes: &[u8]) -> Result<Credentials, Unread> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let versioned: Versioned = serde_json::from_slice(bytes).map_err(|_| Unread::Damaged)?;
    if versioned.version > CREDENTIALS_VERSION {
        return Err(Unread::Newer);
    }
    serde_json::from_slice(bytes).map_err(|_| Unread::Damaged)
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(unix)]
fn create_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}
