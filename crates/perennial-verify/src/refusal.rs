//! Why a request is not let through, and the one map from that to an answer (RFC 6750, 3).
//!
//! The variants are sorted by who can do something about it: the client, or we. Our own trouble is never a 401:
//! that would send every client to refresh or sign in for a fault that is not theirs.

use std::time::Duration;

/// A request is refused, and what its client should do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No access token came with the request: 401 without an error code (RFC 6750, 3.1).
    #[error("this needs an access token: send it as `Authorization: Bearer …`")]
    NoToken,
    /// The request presents its token in a way that RFC 6750 or OAuth 2.1 forbids: 400 `invalid_request`.
    #[error("{0}")]
    InvalidRequest(RequestFault),
    /// The token does not open this door: 401 `invalid_token`.
    #[error("{0}")]
    InvalidToken(TokenFault),
    /// The token is good, but was not granted what the route asks for: 403 `insufficient_scope`.
    #[error("this needs the scope `{required}`, which the access token was not granted")]
    InsufficientScope {
        /// The scopes that the route asks for, separated by spaces.
        required: String,
    },
    /// The verifier cannot tell just now: 503 with Retry-After.
    #[error("{fault}")]
    Unavailable {
        /// What the verifier is missing.
        fault: VerifierFault,
        /// When it is worth asking again, never zero.
        retry_after: Duration,
    },
    /// A handler or a scope asks for a principal on a route that no verifier stands before: 500, the
    /// programmer's mistake.
    #[error("this route asks for a verified principal, but no verifier layer stands before it")]
    Unprotected,
}

/// How a request may present a token wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// More than one `Authorization` header, or a header and a query parameter (RFC 6750, 2).
    #[error("the access token came more than once: send it once, in the Authorization header")]
    SeveralTokens,
    /// The query parameter `access_token` (forbidden by OAuth 2.1, 5.1.2: addresses end up in logs).
    #[error("an access token in the address is not accepted: send it in the Authorization header")]
    TokenInQuery,
    /// `Bearer` with nothing after it, or with something that is no token by RFC 6750, 2.1.
    #[error("the Authorization header is not `Bearer` and one token")]
    MalformedHeader,
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// `exp` has passed: a new access token is needed, the session may be fine.
    #[error("the access token has expired: refresh it")]
    Expired,
    /// `nbf` or `iat` lies ahead by more than the leeway.
    #[error("the access token is not valid yet: the clocks of issuer and API differ")]
    NotYetValid,
    /// The signature does not fit the issuer's key.
    #[error("the access token's signature is wrong")]
    Signature,
    /// The issuer's current keys do not include the one that signed the token.
    #[error("the access token was signed with a key that its issuer no longer has: refresh it")]
    UnknownKey,
    /// The token's algorithm is not allowed for this issuer.
    #[error("the access token's algorithm is not allowed here")]
    Algorithm,
    /// The token is from another issuer.
    #[error("the access token is from another issuer than this API accepts")]
    Issuer,
    /// The token is for another API.
    #[error("the access token is not meant for this API: ask for one with this API as its resource")]
    Audience,
    /// The token is something else than an access token, an ID token for instance.
    #[error("this is not an access token (RFC 9068)")]
    Type,
    /// A claim that RFC 9068 demands is missing or has the wrong type.
    #[error("the access token lacks a claim that it must have")]
    Claims,
    /// The token is bound to a key or certificate, whose proof this verifier cannot check.
    #[error("the access token is bound to a key and cannot be used as a bearer token")]
    Binding,
    /// Longer than this API accepts.
    #[error("the access token is too long")]
    Oversized,
    /// Not a signed JWT.
    #[error("the access token is not a signed JWT")]
    Malformed,
}

/// What the verifier is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifierFault {
    /// The issuer's keys have never been fetched.
    #[error("this API has not yet got its issuer's keys and cannot check access tokens; try again")]
    NoKeys,
    /// The issuer has been away for longer than `max_stale`.
    #[error("this API has not heard from its issuer for too long to check access tokens; try again")]
    StaleKeys,
    /// The token names a key that is newer than what the verifier knows.
    #[error("this API does not know the access token's key yet; try again")]
    PendingKey,
}

/// What a client should do about a refusal; the same words as the server's (`action`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send the request with an access token.
    Authenticate,
    /// Get a new access token with the refresh token, then send the request once more.
    Refresh,
    /// Send the same request again, after Retry-After where there is one.
    Retry,
    /// Ask the user for the missing scope.
    RequestScope,
    /// Nothing helps but a change in the client or its settings.
    FixClient,
    /// Nothing helps but a change in the API.
    FixServer,
}

impl Action {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Refresh => "refresh",
            Self::Retry => "retry",
            Self::RequestScope => "request_scope",
            Self::FixClient => "fix_client",
            Self::FixServer => "fix_server",
        }
    }
}

impl Refusal {
    /// The error code of RFC 6750, 3.1, where there is one.
    #[must_use]
    pub fn error(&self) -> Option<&'static str> {
        match self {
            Self::NoToken => None,
            Self::InvalidRequest(_) => Some("invalid_request"),
            Self::InvalidToken(_) => Some("invalid_token"),
            Self::InsufficientScope { .. } => Some("insufficient_scope"),
            Self::Unavailable { .. } => Some("temporarily_unavailable"),
            Self::Unprotected => Some("server_error"),
        }
    }

    /// Why, in one word that stays the same from version to version.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::InvalidRequest(fault) => fault.reason(),
            Self::InvalidToken(fault) => fault.reason(),
            Self::InsufficientScope { .. } => "scope",
            Self::Unavailable { fault, retry_after: _ } => fault.reason(),
            Self::Unprotected => "unprotected",
        }
    }

    /// What the client should do.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::NoToken => Action::Authenticate,
            Self::InvalidRequest(_) => Action::FixClient,
            Self::InvalidToken(fault) => fault.action(),
            Self::InsufficientScope { .. } => Action::RequestScope,
            Self::Unavailable { .. } => Action::Retry,
            Self::Unprotected => Action::FixServer,
        }
    }

    /// Whether the same request can pass once the client has done what [`Refusal::action`] says, without the
    /// user.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.action() {
            Action::Refresh | Action::Retry => true,
            Action::Authenticate | Action::RequestScope | Action::FixClient | Action::FixServer => false,
        }
    }
}

impl RequestFault {
    fn reason(self) -> &'static str {
        match self {
            Self::SeveralTokens => "several_tokens",
            Self::TokenInQuery => "token_in_query",
            Self::MalformedHeader => "malformed_header",
        }
    }
}

impl TokenFault {
    fn reason(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Signature => "signature",
            Self::UnknownKey => "unknown_key",
            Self::Algorithm => "algorithm",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Type => "type",
            Self::Claims => "claims",
            Self::Binding => "binding",
            Self::Oversized => "oversized",
            Self::Malformed => "malformed",
        }
    }

    fn action(self) -> Action {
        match self {
            // A token whose key is gone or whose bytes were spoiled is replaced by a refresh; a client that has
            // just refreshed and meets this again stops by its own rule (one refresh, one replay).
            Self::Expired | Self::UnknownKey | Self::Signature => Action::Refresh,
            Self::NotYetValid => Action::Retry,
            Self::Algorithm
            | Self::Issuer
            | Self::Audience
            | Self::Type
            | Self::Claims
            | Self::Binding
            | Self::Oversized
            | Self::Malformed => Action::FixClient,
        }
    }
}

impl VerifierFault {
    fn reason(self) -> &'static str {
        match self {
            Self::NoKeys => "no_keys",
            Self::StaleKeys => "stale_keys",
            Self::PendingKey => "pending_key",
        }
    }
}

impl From<TokenFault> for Refusal {
    fn from(fault: TokenFault) -> Self {
        Self::InvalidToken(fault)
    }
}

impl From<RequestFault> for Refusal {
    fn from(fault: RequestFault) -> Self {
        Self::InvalidRequest(fault)
    }
}
