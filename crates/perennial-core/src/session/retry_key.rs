//! The retry key: the client's `Idempotency-Key` for one attempt, which proves that a retry is a retry.
//!
//! An attempt belongs to a token: every try for that token, by any process, before or after a crash, carries
//! the same key. It proves the holder, not the request, so another payload simply gets its own answer. The
//! row keeps the hashes of the last four, each with the generation that it rotated.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::ids::Generation;

/// The left 96 bits of SHA-256 of a retry key. No server key: it hashes at least 128 random bits already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryKeyHash(pub [u8; 12]);

/// A retry key that is none: the request is refused as `invalid_request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the retry key must be 22 to 128 characters of base64url, as a header in double quotes")]
pub struct MalformedRetryKey;

impl RetryKeyHash {
    /// Reads the form parameter `retry_key`: 22 to 128 characters of base64url, at least 128 random bits.
    ///
    /// # Errors
    /// Anything else.
    pub fn of_parameter(text: &str) -> Result<Self, MalformedRetryKey> {
        let well_formed = (22..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !well_formed {
            return Err(MalformedRetryKey);
        }
        let mut left = [0; 12];
        left.copy_from_slice(&Sha256::digest(text.as_bytes())[..12]);
        Ok(Self(left))
    }

    /// Reads the header `Idempotency-Key`, a quoted string (draft-ietf-httpapi-idempotency-key-header, 2.1).
    ///
    /// # Errors
    /// Anything but one quoted retry key.
    pub fn of_header(value: &[u8]) -> Result<Self, MalformedRetryKey> {
        let text = std::str::from_utf8(value).map_err(|_| MalformedRetryKey)?;
        let inner = text.trim_matches([' ', '\t']).strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        Self::of_parameter(inner.ok_or(MalformedRetryKey)?)
    }
}

/// A retry key and the generation whose token it rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptRetryKey {
    /// The generation that was presented.
    pub of: Generation,
    /// The key that came with it.
    pub hash: RetryKeyHash,
}

/// The retry keys of the last four rotations that came with one, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptRetryKeys(pub(crate) [Option<KeptRetryKey>; 4]);

/// How many rotations' retry keys a row remembers.
pub const KEPT_ROTATIONS: u32 = 4;

impl KeptRetryKeys {
    /// None yet.
    #[must_use]
    pub const fn none() -> Self {
        Self([None; 4])
    }

    /// These after the rotation of generation `of`, by a client that sent `hash` or no key at all.
    #[must_use]
    pub fn after(self, of: Generation, hash: Option<RetryKeyHash>) -> Self {
        let Some(hash) = hash else { return self };
        let [first, second, third, _] = self.0;
        Self([Some(KeptRetryKey { of, hash }), first, second, third])
    }

    /// Whether `hash` came with the rotation of generation `of`.
    #[must_use]
    pub fn proves(&self, of: Generation, hash: Option<&RetryKeyHash>) -> bool {
        let Some(hash) = hash else { return false };
        self.0.iter().flatten().any(|kept| kept.of == of && bool::from(kept.hash.0.ct_eq(&hash.0)))
    }

    /// Whether the key of generation `of`'s rotation is kept.
    #[must_use]
    pub fn remembers(&self, of: Generation) -> bool {
        self.0.iter().flatten().any(|kept| kept.of == of)
    }

    /// Whether any of the last four rotations, the newest having led to `current`, came with a retry key.
    #[must_use]
    pub fn any_within_kept(&self, current: Generation) -> bool {
        self.0.iter().flatten().any(|kept| kept.of.behind(current) <= KEPT_ROTATIONS)
    }
}
