//! A token taken apart: the three parts of a compact JWS (RFC 7515, 7.1) and its header.
//!
//! Nothing of the header is obeyed but what picks a key out of the issuer's set: `jku`, `jwk`, `x5u` and `x5c`
//! are not even read (RFC 8725, 3.10).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::refusal::TokenFault;

/// A token in its parts, nothing of it verified.
pub(crate) struct Jws<'token> {
    pub(crate) header: Header,
    /// The claims, as JSON.
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    /// What the signature is over.
    pub(crate) signing_input: &'token [u8],
}

/// The members of a JOSE header that matter here.
#[derive(Deserialize)]
pub(crate) struct Header {
    pub(crate) alg: String,
    pub(crate) kid: Option<String>,
    pub(crate) typ: Option<String>,
    crit: Option<IgnoredAny>,
}

impl<'token> Jws<'token> {
    pub(crate) fn parse(token: &'token str) -> Result<Self, TokenFault> {
        let (signing_input, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(TokenFault::Malformed)?;
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenFault::Malformed)?;
        // RFC 7515, 4.1.11: what is critical and not understood makes the token invalid; nothing is understood.
        if header.crit.is_some() {
            return Err(TokenFault::Malformed);
        }
        Ok(Self {
            header,
            payload: decode(payload)?,
            signature: decode(signature)?,
            signing_input: signing_input.as_bytes(),
        })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenFault> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenFault::Malformed)
}
