//! Who presents a token, and by what it is known to be them.

/// The thumbprint of a DPoP key (RFC 7638, SHA-256).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Jkt(pub [u8; 32]);

/// By what the presenter is known, beside the token; proofs were checked before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// By nothing: whoever has the token.
    Bearer,
    /// By a DPoP proof with this key (RFC 9449, 5).
    Key(Jkt),
    /// By the confidential client's authentication (RFC 6749, 6).
    Client,
    /// By both; the session is bound to the client, and only the access token to the key.
    ClientWithKey(Jkt),
}
