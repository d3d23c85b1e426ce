//! Refresh tokens and authorization codes: derived from the session, tagged by the server, never stored.
//!
//! `prn_rt_` + base64url( version u8 · key id u8 · sid 16 · generation u32 · proof 16 · tag 16 ), where
//! proof = HMAC-SHA256(session secret, "rt" · sid · generation) and tag = HMAC-SHA256(server key, "rt" · all
//! that precedes), left halves. A forged token is refused by the tag alone, so guessing never reaches the
//! store; since the token is derived, the same successor can be issued again. A code is the same thing with
//! `prn_ac_` and "ac", always of generation 0.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ids::{Generation, SessionId};
use crate::session::SessionSecret;

const FORMAT: u8 = 1;
const HEAD_LEN: usize = 22;
const UNTAGGED_LEN: usize = 38;
const TOKEN_LEN: usize = 54;
const TEXT_LEN: usize = 72;

/// Which of the two a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// `prn_rt_…` (RFC 6749, 1.5).
    Refresh,
    /// `prn_ac_…` (RFC 6749, 1.3.1).
    Code,
}

impl TokenKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Refresh => "prn_rt_",
            Self::Code => "prn_ac_",
        }
    }

    const fn label(self) -> &'static [u8; 2] {
        match self {
            Self::Refresh => b"rt",
            Self::Code => b"ac",
        }
    }
}

/// A server (MAC) key: tags say that we made a token, and nothing more.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ServerKey {
    /// Rises with every new key; it stands in each token.
    pub id: u8,
    /// 256 random bits.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The server keys that a node knows, newest last; it tags with one and checks with all.
#[derive(Clone, Debug)]
pub struct KeyRing {
    tagging: ServerKey,
    retired: Vec<ServerKey>,
}

/// A token whose tag is right: we made it, for this session and generation.
#[derive(Clone, Debug)]
pub struct OpenedToken {
    /// The session that it names.
    pub sid: SessionId,
    /// The generation that it is of.
    pub generation: Generation,
    kind: TokenKind,
    proof: [u8; 16],
}

/// Why a token was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// The client's: not of the shape of our tokens.
    #[error("not a token of this server")]
    Malformed,
    /// The client's: the tag is wrong, so we never made it.
    #[error("not a token of this server")]
    Forged,
    /// Ours: tagged by a key newer than this node knows; it must read its keys again before it answers.
    #[error("tagged by server key {id}, which this node does not know yet")]
    KeyNotYetKnown {
        /// The key that the token names.
        id: u8,
    },
}

impl KeyRing {
    /// A ring that tags with `tagging` and also accepts what `retired` tagged.
    #[must_use]
    pub fn new(tagging: ServerKey, retired: Vec<ServerKey>) -> Self {
        Self { tagging, retired }
    }

    /// The token of `kind` for one generation of one session: the same input gives the same token (INV-6).
    #[must_use]
    pub fn mint(&self, kind: TokenKind, secret: &SessionSecret, sid: SessionId, of: Generation) -> String {
        let mut bytes = [0; TOKEN_LEN];
        bytes[0] = FORMAT;
        bytes[1] = self.tagging.id;
        bytes[2..18].copy_from_slice(&sid.0);
        bytes[18..HEAD_LEN].copy_from_slice(&of.0.to_be_bytes());
        bytes[HEAD_LEN..UNTAGGED_LEN].copy_from_slice(&proof(kind, secret, sid, of));
        let tag = left_half(&self.tagging.secret, &[kind.label(), &bytes[..UNTAGGED_LEN]]);
        bytes[UNTAGGED_LEN..].copy_from_slice(&tag);
        let mut text = String::with_capacity(kind.prefix().len() + TEXT_LEN);
        text.push_str(kind.prefix());
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        text
    }

    /// Recognises a token of `kind` by its shape, key id and tag, without asking any store.
    ///
    /// # Errors
    /// [`NotOpened::Malformed`] and [`NotOpened::Forged`] are the client's; [`NotOpened::KeyNotYetKnown`] is
    /// ours and must become a 503, never an `invalid_grant`.
    pub fn open(&self, kind: TokenKind, text: &str) -> Result<OpenedToken, NotOpened> {
        let text = text.strip_prefix(kind.prefix()).ok_or(NotOpened::Malformed)?;
        let mut bytes = [0; TOKEN_LEN];
        if text.len() != TEXT_LEN || URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) != Ok(TOKEN_LEN) {
            return Err(NotOpened::Malformed);
        }
        let (untagged, tag) = bytes.split_at(UNTAGGED_LEN);
        if untagged[0] != FORMAT {
            return Err(NotOpened::Malformed);
        }
        let key = self.key(untagged[1])?;
        let expected = left_half(&key.secret, &[kind.label(), untagged]);
        if !bool::from(expected.ct_eq(tag)) {
            return Err(NotOpened::Forged);
        }
        let mut sid = [0; 16];
        sid.copy_from_slice(&untagged[2..18]);
        let mut generation = [0; 4];
        generation.copy_from_slice(&untagged[18..HEAD_LEN]);
        let mut proof = [0; 16];
        proof.copy_from_slice(&untagged[HEAD_LEN..]);
        let generation = Generation(u32::from_be_bytes(generation));
        Ok(OpenedToken { sid: SessionId(sid), generation, kind, proof })
    }

    fn key(&self, id: u8) -> Result<&ServerKey, NotOpened> {
        if self.tagging.id == id {
            return Ok(&self.tagging);
        }
        match self.retired.iter().find(|key| key.id == id) {
            Some(key) => Ok(key),
            None if id > self.tagging.id => Err(NotOpened::KeyNotYetKnown { id }),
            None => Err(NotOpened::Forged),
        }
    }
}

impl OpenedToken {
    /// Whether the token was derived from this session's secret; the tag alone does not say so, and a leaked
    /// server key gives no usable token.
    #[must_use]
    pub fn is_proven_by(&self, secret: &SessionSecret) -> bool {
        proof(self.kind, secret, self.sid, self.generation).ct_eq(&self.proof).into()
    }
}

fn proof(kind: TokenKind, secret: &SessionSecret, sid: SessionId, of: Generation) -> [u8; 16] {
    left_half(&secret.0, &[kind.label(), &sid.0, &of.0.to_be_bytes()])
}

/// The left 128 bits of HMAC-SHA256 over the parts, one after the other; all of fixed length.
pub(crate) fn left_half(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length (RFC 2104)");
    for part in parts {
        mac.update(part);
    }
    let mut half = [0; 16];
    half.copy_from_slice(&mac.finalize().into_bytes()[..16]);
    half
}
