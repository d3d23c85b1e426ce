//! What is agreed with an authorization code, beside the session that it opens: a ticket under the session's
//! id, laid down in the write that gives birth to the session, read by the token endpoint.

use perennial_core::SessionId;
use perennial_core::write::TicketKey;
use serde::{Deserialize, Serialize};

/// How long the agreement is kept after the code's birth, so that a lost answer can be asked for again with
/// its retry key: a day. The code itself is redeemed for the first time within the policy's code lifetime.
pub const AGREEMENT_KEPT_MS: u64 = 24 * 3_600_000;

/// What the token endpoint must check and repeat when the code is redeemed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeAgreement {
    /// Must be named again where it was named in the authorization request (RFC 6749, 4.1.3); else nothing.
    pub redirect_uri: Option<String>,
    /// Base64url of SHA-256 of the verifier (RFC 7636, 4.2: S256 only).
    pub code_challenge: String,
    /// Repeated in the ID token (OpenID Connect Core, 3.1.2.1).
    pub nonce: Option<String>,
}

impl CodeAgreement {
    /// The ticket's key.
    pub fn key(sid: SessionId) -> TicketKey {
        let mut key = vec![b'c'];
        key.extend_from_slice(&sid.0);
        TicketKey(key)
    }
}
