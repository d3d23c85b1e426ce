//! Names of things: one newtype each, so that none is taken for another.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::time::UnixMillis;

/// A session: 128 bits, ordered by time of birth (UUIDv7, RFC 9562, 5.7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 16]);

/// The identity that a session hands to the one that replaces it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContinuityId(pub [u8; 16]);

/// How often a session's refresh token has been rotated. The authorization code is generation 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

/// The version of a session's row: a conditional write names the one it was decided on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowVersion(pub u32);

/// Who is signed in: the `sub` of tokens (OpenID Connect Core, 2). At most 255 ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct SubjectId(pub Arc<str>);

/// The client that a session belongs to (RFC 6749, 2.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ClientId(pub Arc<str>);

impl SessionId {
    /// A new id from the time of birth and ten random bytes.
    #[must_use]
    pub fn new(born: UnixMillis, random: [u8; 10]) -> Self {
        Self(uuid_v7(born, random))
    }

    /// The moment of birth that the id carries.
    #[must_use]
    pub fn born(self) -> UnixMillis {
        let [a, b, c, d, e, f, ..] = self.0;
        UnixMillis(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }
}

impl ContinuityId {
    /// A new id from the time of birth and ten random bytes.
    #[must_use]
    pub fn new(born: UnixMillis, random: [u8; 10]) -> Self {
        Self(uuid_v7(born, random))
    }
}

fn uuid_v7(born: UnixMillis, random: [u8; 10]) -> [u8; 16] {
    let [_, _, a, b, c, d, e, f] = born.0.to_be_bytes();
    let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = random;
    [a, b, c, d, e, f, 0x70 | (r0 & 0x0f), r1, 0x80 | (r2 & 0x3f), r3, r4, r5, r6, r7, r8, r9]
}

/// An id that is not 22 characters of base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: 22 characters of base64url are wanted")]
pub struct NotAnId;

macro_rules! as_base64url {
    ($($id:ident),*) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
            }
        }
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $id {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotAnId)?;
                bytes.try_into().map(Self).map_err(|_| NotAnId)
            }
        }
    )*};
}
as_base64url!(SessionId, ContinuityId);

macro_rules! as_text {
    ($($id:ident),*) => {$(
        impl $id {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl From<&str> for $id {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }
        impl From<String> for $id {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }
        impl From<$id> for String {
            fn from(id: $id) -> Self {
                id.0.as_ref().to_owned()
            }
        }
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
as_text!(SubjectId, ClientId);

impl Generation {
    /// The generation that a rotation leads to.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// How many generations this one is behind `newer`.
    #[must_use]
    pub const fn behind(self, newer: Self) -> u32 {
        newer.0.saturating_sub(self.0)
    }
}

impl RowVersion {
    /// The version that a write leaves behind.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}
