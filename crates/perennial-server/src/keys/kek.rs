//! The key-encryption key: a file outside the store, under which every key inside it is wrapped.
//!
//! A leaked database or backup then holds no usable key. The file is made at the first start, readable by its
//! owner alone, and is never written again: whoever loses it loses the keys, and everybody signs in anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::keys::KeysError;

const LEN: usize = 32;
const NONCE_LEN: usize = 12;

/// 256 random bits that wrap every key in the store.
pub struct KeyEncryptionKey {
    sealer: LessSafeKey,
    /// Tells another key-encryption key from a damaged record; says nothing about the key.
    id: String,
}

impl std::fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyEncryptionKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why a key file was not taken: one line, with the next step.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It can neither be read nor made.
    #[error(
        "the key file {path} cannot be {attempt} ({why}): create its folder, or give this user access to it"
    )]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// `read` or `created`.
        attempt: &'static str,
        /// What the system said.
        why: io::Error,
    },
    /// It is gone, and the store's keys with it unless it comes back.
    #[error(
        "the key file {path} is missing, and the keys in the store are wrapped under it: restore it from a \
         backup, or name where it lies with --key-encryption-key"
    )]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// Others may read or change it.
    #[error("the key file {path} is open to other users (mode {mode:04o}): run `chmod 600 {path}`")]
    TooOpen {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It does not hold one key.
    #[error(
        "the key file {path} does not hold a key (43 characters of base64url): restore it from a backup, \
         or move it aside if this data folder is new"
    )]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes for a new key: try again")]
    NoRandomness,
}

impl KeyEncryptionKey {
    /// Reads the key from its file, or makes one where there is none. Its folder must exist.
    ///
    /// # Errors
    /// The file cannot be read or made, others may read it, or it does not hold a key.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        match load(path) {
            Ok(found) => Ok(found),
            Err(KeyFileError::Unusable { why, .. }) if why.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                load(path)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads the key from its file, for a store whose keys are wrapped under it already: a new one in its place
    /// would open nothing, and would look like the old one to whoever searches for it.
    ///
    /// # Errors
    /// The file is missing or cannot be read, others may read it, or it does not hold a key.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        match load(path) {
            Err(KeyFileError::Unusable { path, why, .. }) if why.kind() == io::ErrorKind::NotFound => {
                Err(KeyFileError::Missing { path })
            }
            loaded => loaded,
        }
    }

    fn of_bytes(bytes: &[u8; LEN]) -> Self {
        let sealer = UnboundKey::new(&AES_256_GCM, bytes).expect("AES-256 takes a key of 32 bytes");
        let digest = Sha256::new().chain_update(b"perennial key-encryption key 1").chain_update(bytes);
        let id = URL_SAFE_NO_PAD.encode(&digest.finalize()[..9]);
        Self { sealer: LessSafeKey::new(sealer), id }
    }

    /// Wraps `plain`, which only `name` may later be unwrapped as.
    pub(crate) fn wrap(&self, name: &str, plain: &[u8]) -> Result<Wrapped, KeysError> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| KeysError::NoRandomness)?;
        let mut sealed = plain.to_vec();
        self.sealer
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(name.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| {
                sealed.zeroize();
                KeysError::Unusable { name: name.to_owned(), why: "it could not be wrapped" }
            })?;
        Ok(Wrapped {
            format: FORMAT,
            kek: self.id.clone(),
            nonce: URL_SAFE_NO_PAD.encode(nonce),
            sealed: URL_SAFE_NO_PAD.encode(&sealed),
        })
    }

    /// The key that was wrapped as `name`.
    pub(crate) fn unwrap(&self, name: &str, wrapped: &Wrapped) -> Result<Zeroizing<Vec<u8>>, KeysError> {
        let damaged = || KeysError::Damaged { name: name.to_owned() };
        if wrapped.format != FORMAT {
            return Err(damaged());
        }
        if wrapped.kek != self.id {
            return Err(KeysError::OtherKeyFile { name: name.to_owned() });
        }
        let nonce = URL_SAFE_NO_PAD.decode(&wrapped.nonce).map_err(|_| damaged())?;
        let nonce = Nonce::try_assume_unique_for_key(&nonce).map_err(|_| damaged())?;
        let mut sealed = Zeroizing::new(URL_SAFE_NO_PAD.decode(&wrapped.sealed).map_err(|_| damaged())?);
        let plain_len = self
            .sealer
            .open_in_place(nonce, Aad::from(name.as_bytes()), &mut sealed)
            .map_err(|_| damaged())?
            .len();
        sealed.truncate(plain_len);
        Ok(sealed)
    }
}

const FORMAT: u8 = 1;

/// A key as the store has it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Wrapped {
    format: u8,
    kek: String,
    nonce: String,
    sealed: String,
}

fn load(path: &Path) -> Result<KeyEncryptionKey, KeyFileError> {
    let unusable = |why| KeyFileError::Unusable { path: path.to_owned(), attempt: "read", why };
    let malformed = || KeyFileError::Malformed { path: path.to_owned() };
    let about = fs::metadata(path).map_err(unusable)?;
    let mode = about.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::TooOpen { path: path.to_owned(), mode });
    }
    if about.len() > 128 {
        return Err(malformed());
    }
    let text = Zeroizing::new(fs::read(path).map_err(unusable)?);
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.trim_ascii()).map_err(|_| malformed())?);
    let bytes: &[u8; LEN] = bytes.as_slice().try_into().map_err(|_| malformed())?;
    Ok(KeyEncryptionKey::of_bytes(bytes))
}

/// Makes the file whole or not at all, and never in the place of one that is there: a crash half way must not
/// leave an empty key, and of two processes that start at once both must end up with the same one.
fn create(path: &Path) -> Result<(), KeyFileError> {
    let mut bytes = Zeroizing::new([0; LEN]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| KeyFileError::NoRandomness)?;
    let mut text = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()));
    text.push('\n');
    let unfinished = path.with_extension(format!("new-{}", std::process::id()));
    let made = write_durably(&unfinished, text.as_bytes()).and_then(|()| fs::hard_link(&unfinished, path));
    let removed = fs::remove_file(&unfinished);
    let unusable = |why| KeyFileError::Unusable { path: path.to_owned(), attempt: "created", why };
    match made {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => return Err(unusable(why)),
        Err(_) | Ok(()) => removed.map_err(unusable)?,
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(unusable)
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
