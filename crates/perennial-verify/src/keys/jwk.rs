//! An issuer's key set (RFC 7517), parsed once and kept as keys that are ready to verify.
//!
//! A set is as good as its good keys: what is unknown, broken, doubled or meant for something else is left out
//! with a line in the log and never spoils the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::signature::ParsedPublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::algorithm::{Algorithm, Family, rsa_key};

/// RSA keys above this are refused: verifying takes longer with every bit, and the issuer is not the only one
/// who could have written the set.
const MAX_RSA_MODULUS_BYTES: usize = 1024;

/// Exponents above 32 bits make every verification slow; everybody uses 65537.
const MAX_RSA_EXPONENT_BYTES: usize = 4;

/// One key for one algorithm.
pub(crate) struct Key {
    kid: Option<Box<str>>,
    algorithm: Algorithm,
    public: ParsedPublicKey,
    retired: AtomicBool,
}

impl Key {
    /// Whether `signature` over `message` was made with this key.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }

    /// Whether a newer set came without this key. Tokens that it signed must not pass any more, wherever they
    /// are remembered.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self.kid == other.kid
            && self.algorithm == other.algorithm
            && self.public.as_ref() == other.public.as_ref()
    }

    fn answers_to(&self, kid: Option<&str>, algorithm: Algorithm) -> bool {
        self.algorithm == algorithm && kid.is_none_or(|kid| self.kid.as_deref() == Some(kid))
    }
}

/// Keys, at least one.
pub(crate) struct KeySet {
    keys: Vec<Arc<Key>>,
}

/// Why a document is not a key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeySetFault {
    #[error("the answer is not a JSON Web Key Set")]
    NotAKeySet,
    #[error("the key set has no key that fits the allowed algorithms")]
    NoUsableKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    public_key_use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl KeySet {
    /// Reads a set, keeping the keys that fit the allowed algorithms, at most `max_keys` of them.
    pub(crate) fn parse(json: &[u8], allowed: &[Algorithm], max_keys: usize) -> Result<Self, KeySetFault> {
        let document: Document = serde_json::from_slice(json).map_err(|_| KeySetFault::NotAKeySet)?;
        let mut keys: Vec<Arc<Key>> = Vec::new();
        for value in document.keys.into_iter().take(max_keys) {
            let found = serde_json::from_value::<Jwk>(value).map(|jwk| keys_of(&jwk, allowed));
            let Ok(Some(found)) = found else {
                tracing::debug!("a key of the issuer's set is not usable here and is left out");
                continue;
            };
            for key in found {
                let taken = keys.iter().any(|held| held.kid == key.kid && held.algorithm == key.algorithm);
                // Two keys without a name are two keys; two of one name are a mistake, and the first counts.
                if taken && key.kid.is_some() {
                    tracing::warn!(kid = ?key.kid, "the issuer's set has two keys of one name; the first counts");
                } else {
                    keys.push(Arc::new(key));
                }
            }
        }
        if keys.is_empty() { Err(KeySetFault::NoUsableKey) } else { Ok(Self { keys }) }
    }

    /// The keys that a token with this `kid` and algorithm may have been signed with. Without a `kid` (RFC
    /// 9068 does not demand one) these are the keys of that algorithm.
    pub(crate) fn candidates(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.iter().filter(move |key| key.answers_to(kid, algorithm))
    }

    /// Takes over from `previous`: a key that both have stays the same object, so tokens remembered under it
    /// stay remembered. Returns the keys that are gone, for the caller to retire once this set is in place.
    pub(crate) fn succeed(&mut self, previous: &Self) -> Vec<Arc<Key>> {
        for key in &mut self.keys {
            if let Some(held) = previous.keys.iter().find(|held| held.is_same_as(key)) {
                *key = Arc::clone(held);
            }
        }
        let gone = |held: &&Arc<Key>| !self.keys.iter().any(|key| Arc::ptr_eq(key, held));
        previous.keys.iter().filter(gone).cloned().collect()
    }
}

/// A key for each allowed algorithm that this JWK can serve; nothing when it is for something else.
fn keys_of(jwk: &Jwk, allowed: &[Algorithm]) -> Option<Vec<Key>> {
    // RFC 7517, 4.2 and 4.3: a key for encryption does not verify.
    if jwk.public_key_use.as_deref().is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    if jwk.key_ops.as_ref().is_some_and(|operations| !operations.iter().any(|name| name == "verify")) {
        return None;
    }
    let named = match jwk.alg.as_deref() {
        Some(alg) => Some(Algorithm::named(alg)?),
        None => None,
    };
    let keys: Vec<Key> = allowed
        .iter()
        .filter(|algorithm| named.is_none_or(|named| named == **algorithm))
        .filter_map(|&algorithm| {
            let public = public_key(jwk, algorithm)?;
            let kid = jwk.kid.as_deref().map(Box::from);
            Some(Key { kid, algorithm, public, retired: AtomicBool::new(false) })
        })
        .collect();
    if keys.is_empty() { None } else { Some(keys) }
}

fn public_key(jwk: &Jwk, algorithm: Algorithm) -> Option<ParsedPublicKey> {
    match algorithm.family() {
        Family::Ec { curve, coordinate_bytes, verification } => {
            if jwk.kty != "EC" || jwk.crv.as_deref() != Some(curve) {
                return None;
            }
            let (x, y) = (decode(jwk.x.as_deref())?, decode(jwk.y.as_deref())?);
            // RFC 7518, 6.2.1.2: the coordinate's full length.
            if x.len() != coordinate_bytes || y.len() != coordinate_bytes {
                return None;
            }
            let uncompressed_point = [&[4], x.as_slice(), y.as_slice()].concat();
            ParsedPublicKey::new(verification, uncompressed_point).ok()
        }
        Family::Ed25519 { verification } => {
            if jwk.kty != "OKP" || jwk.crv.as_deref() != Some("Ed25519") {
                return None;
            }
            let x = decode(jwk.x.as_deref())?;
            if x.len() == 32 { ParsedPublicKey::new(verification, x).ok() } else { None }
        }
        Family::Rsa { verification } => {
            if jwk.kty != "RSA" {
                return None;
            }
            let (n, e) = (decode(jwk.n.as_deref())?, decode(jwk.e.as_deref())?);
            if n.len() > MAX_RSA_MODULUS_BYTES + 1 || e.len() > MAX_RSA_EXPONENT_BYTES {
                return None;
            }
            rsa_key(&n, &e, verification)
        }
    }
}

fn decode(part: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part?).ok()
}
