//! Everything secret that the server makes tokens with, wrapped in the store under a key outside it.
//!
//! One key per purpose: tags of refresh tokens, hashes of contexts, signatures. They are made at the first
//! start; a change of the signing algorithm adds a key and keeps the old ones published, so that tokens in
//! flight stay good.

mod jws;
mod kek;
mod software;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use perennial_core::UnixMillis;
use perennial_core::session::context::{NetworkId, Sends, SoftwareId};
use perennial_core::session::token::{KeyRing, ServerKey};
use perennial_store::{PutRecord, RecordKind, Store, StoreError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

pub(crate) use jws::{ACCESS_TOKEN, ID_TOKEN};
pub use jws::{NotSigned, SigningAlgorithm};
pub use kek::{KeyEncryptionKey, KeyFileError};

use jws::SigningKey;
use kek::Wrapped;
use software::Software;

/// The keys of a running server.
pub struct Keys {
    ring: Arc<KeyRing>,
    context: Zeroizing<[u8; 32]>,
    /// The one that signs is first; the others only verify.
    signing: Vec<SigningKey>,
    jwks: Bytes,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("signing", &self.active().kid).finish_non_exhaustive()
    }
}

/// Why the keys were not opened: one line, with the next step.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The store's.
    #[error("the keys cannot be read: {0}")]
    Store(#[from] StoreError),
    /// The operator's: the key file belongs to another data folder.
    #[error(
        "the key `{name}` in the store was wrapped under another key file: start with the key file that \
         belongs to this data folder, or restore it from a backup"
    )]
    OtherKeyFile {
        /// Which key.
        name: String,
    },
    /// The store's: not what was written.
    #[error("the key `{name}` in the store is damaged: restore a backup of the data folder")]
    Damaged {
        /// Which key.
        name: String,
    },
    /// A key of a kind or format that this version does not handle.
    #[error("the key `{name}` cannot be used ({why}): was it made by a newer version of perennial?")]
    Unusable {
        /// Which key.
        name: String,
        /// How it shows.
        why: &'static str,
    },
    /// The system's.
    #[error("the system gives no random bytes for new keys: try again")]
    NoRandomness,
    /// Another process makes keys in the same store, again and again.
    #[error("the keys in the store keep changing while they are read: is another server being set up on it?")]
    Unsettled,
}

/// A key's record: what is wrapped, and when it was made.
#[derive(Serialize, Deserialize)]
struct KeyRecord {
    made_at: u64,
    #[serde(flatten)]
    wrapped: Wrapped,
}

const CONTEXT_KEY: &str = "context/1";
const TAG_KEYS: &str = "tag/";
const FIRST_TAG_KEY: &str = "tag/001";
const SIGNING_KEYS: &str = "sign/";

impl Keys {
    /// Whether a store has keys, all of them wrapped under one key file.
    ///
    /// # Errors
    /// The store is away.
    pub async fn are_in(store: &dyn Store) -> Result<bool, KeysError> {
        Ok(!store.records(RecordKind::Key, None, 1).await?.is_empty())
    }

    /// Reads the keys, and makes those that are missing.
    ///
    /// # Errors
    /// The store is away, a record is damaged, or the key file is not the one that they were wrapped under.
    pub async fn open(
        store: &dyn Store,
        kek: &KeyEncryptionKey,
        algorithm: SigningAlgorithm,
        now: UnixMillis,
    ) -> Result<Self, KeysError> {
        // Twice is enough for one process; a second one on the same store may win once per kind of key.
        for _ in 0..4 {
            let found = Found::read(store, kek).await?;
            let missing = found.missing(kek, algorithm, now)?;
            if missing.is_empty() {
                return found.into_keys(algorithm);
            }
            store.put_records(missing).await?;
        }
        Err(KeysError::Unsettled)
    }

    /// The keys that tag refresh tokens and codes.
    #[must_use]
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring)
    }

    /// A keyed hash of the address's network: /24, or /48 (an IPv6 site). No raw address is kept.
    #[must_use]
    pub fn network_id(&self, addr: IpAddr) -> NetworkId {
        NetworkId::of_hash(match addr.to_canonical() {
            IpAddr::V4(addr) => self.context_hash(&[b"network", &[4], &addr.octets()[..3]]),
            IpAddr::V6(addr) => self.context_hash(&[b"network", &[6], &addr.octets()[..6]]),
        })
    }

    /// A keyed hash of product and operating system family, never of a version.
    #[must_use]
    pub fn software_id(&self, user_agent: &str, sends: Sends) -> SoftwareId {
        let Software { product, system } = Software::of_user_agent(user_agent);
        let hash = self.context_hash(&[b"software", &[0], product.as_bytes(), &[0], system.as_bytes()]);
        SoftwareId::of_hash(hash, sends)
    }

    /// Signs claims as a compact JWS whose header says `typ`.
    ///
    /// # Errors
    /// The claims are no JSON object, or the library refuses; either is a bug.
    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, NotSigned> {
        self.active().sign(typ, claims)
    }

    /// The claims of a token of ours with this `typ`; whether it has expired is the caller's to judge.
    #[must_use]
    pub fn verified<T: DeserializeOwned>(&self, typ: &str, token: &str) -> Option<T> {
        jws::verified(&self.signing, typ, token)
    }

    /// The `at_hash` of an ID token that comes with this access token (OpenID Connect Core, 3.1.3.6).
    #[must_use]
    pub fn at_hash(&self, access_token: &str) -> String {
        self.active().at_hash(access_token)
    }

    /// The algorithm that tokens are signed with now.
    #[must_use]
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.active().algorithm
    }

    /// The public keys as a JWK Set (RFC 7517, 5).
    #[must_use]
    pub fn jwks(&self) -> Bytes {
        self.jwks.clone()
    }

    fn active(&self) -> &SigningKey {
        self.signing.first().expect("keys are not opened without a signing key")
    }

    fn context_hash(&self, parts: &[&[u8]]) -> [u8; 4] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.context.as_slice())
            .expect("HMAC takes a key of any length (RFC 2104)");
        for part in parts {
            mac.update(part);
        }
        let mut left = [0; 4];
        left.copy_from_slice(&mac.finalize().into_bytes()[..4]);
        left
    }
}

/// What the store had.
#[derive(Default)]
struct Found {
    tags: Vec<ServerKey>,
    context: Option<Zeroizing<[u8; 32]>>,
    /// With the time of their making.
    signing: Vec<(u64, SigningKey)>,
}

impl Found {
    async fn read(store: &dyn Store, kek: &KeyEncryptionKey) -> Result<Self, KeysError> {
        const SLICE: u16 = 64;
        let mut found = Self::default();
        let mut after: Option<String> = None;
        loop {
            let records = store.records(RecordKind::Key, after.as_deref(), SLICE).await?;
            let is_last = records.len() < usize::from(SLICE);
            after = records.last().map(|record| record.key.clone());
            for record in records {
                found.take(kek, &record.key, &record.body)?;
            }
            if is_last {
                return Ok(found);
            }
        }
    }

    fn take(&mut self, kek: &KeyEncryptionKey, name: &str, body: &[u8]) -> Result<(), KeysError> {
        let unusable = |why| KeysError::Unusable { name: name.to_owned(), why };
        let record: KeyRecord =
            serde_json::from_slice(body).map_err(|_| KeysError::Damaged { name: name.to_owned() })?;
        let plain = kek.unwrap(name, &record.wrapped)?;
        if let Some(id) = name.strip_prefix(TAG_KEYS) {
            let id = id.parse().map_err(|_| unusable("its number is none"))?;
            let secret = *of_32(&plain).ok_or_else(|| unusable("its length is wrong"))?;
            self.tags.push(ServerKey { id, secret });
        } else if name == CONTEXT_KEY {
            self.context = Some(of_32(&plain).ok_or_else(|| unusable("its length is wrong"))?);
        } else if let Some((algorithm, _)) =
            name.strip_prefix(SIGNING_KEYS).and_then(|rest| rest.split_once('/'))
        {
            let algorithm =
                SigningAlgorithm::of_name(algorithm).ok_or_else(|| unusable("its algorithm is unknown"))?;
            let key = SigningKey::parse(algorithm, &plain).ok_or_else(|| unusable("it does not parse"))?;
            self.signing.push((record.made_at, key));
        } else {
            return Err(unusable("its purpose is unknown"));
        }
        Ok(())
    }

    fn missing(
        &self,
        kek: &KeyEncryptionKey,
        algorithm: SigningAlgorithm,
        now: UnixMillis,
    ) -> Result<Vec<PutRecord>, KeysError> {
        let mut missing = Vec::new();
        if self.tags.is_empty() {
            missing.push(wrapped(kek, FIRST_TAG_KEY, random_32()?.as_slice(), now)?);
        }
        if self.context.is_none() {
            missing.push(wrapped(kek, CONTEXT_KEY, random_32()?.as_slice(), now)?);
        }
        if !self.signing.iter().any(|(_, key)| key.algorithm == algorithm) {
            let pkcs8 = jws::draw(algorithm).map_err(|_| KeysError::NoRandomness)?;
            let kid = SigningKey::parse(algorithm, &pkcs8).ok_or(KeysError::NoRandomness)?.kid;
            let name = format!("{SIGNING_KEYS}{}/{kid}", algorithm.name());
            missing.push(wrapped(kek, &name, &pkcs8, now)?);
        }
        Ok(missing)
    }

    fn into_keys(mut self, algorithm: SigningAlgorithm) -> Result<Keys, KeysError> {
        self.tags.sort_by_key(|key| key.id);
        let (Some(tagging), Some(context)) = (self.tags.pop(), self.context) else {
            return Err(KeysError::Unsettled);
        };
        // The newest of the configured algorithm signs; the kid decides between two of one millisecond.
        self.signing.sort_by(|(a_at, a), (b_at, b)| (b_at, &b.kid).cmp(&(a_at, &a.kid)));
        self.signing.sort_by_key(|(_, key)| key.algorithm != algorithm);
        let signing: Vec<SigningKey> = self.signing.into_iter().map(|(_, key)| key).collect();
        let published: Vec<_> = signing.iter().map(SigningKey::jwk).collect();
        let jwks = Bytes::from(serde_json::json!({ "keys": published }).to_string());
        Ok(Keys { ring: Arc::new(KeyRing::new(tagging, self.tags)), context, signing, jwks })
    }
}

fn wrapped(
    kek: &KeyEncryptionKey,
    name: &str,
    plain: &[u8],
    now: UnixMillis,
) -> Result<PutRecord, KeysError> {
    let record = KeyRecord { made_at: now.0, wrapped: kek.wrap(name, plain)? };
    let body = serde_json::to_vec(&record).expect("a record of strings and a number is always JSON");
    Ok(PutRecord { kind: RecordKind::Key, key: name.to_owned(), expect: 0, body })
}

fn random_32() -> Result<Zeroizing<[u8; 32]>, KeysError> {
    let mut bytes = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| KeysError::NoRandomness)?;
    Ok(bytes)
}

fn of_32(plain: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    plain.try_into().ok().map(Zeroizing::new)
}
