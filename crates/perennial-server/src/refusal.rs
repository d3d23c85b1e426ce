//! A refusal as JSON: an RFC 6749 error with what a client needs to go on without guessing from strings.
//!
//! `retryable`, `action` and `reason` are on every one of them; nothing that is retryable has consumed
//! anything (INV-8).

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// The `error` member (RFC 6749, 5.2; RFC 6750, 3.1; and `conflict`, ours).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorCode {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedTokenType,
    InvalidScope,
    InvalidTarget,
    InvalidToken,
    InsufficientUserAuthentication,
    Conflict,
    SlowDown,
    TemporarilyUnavailable,
}

/// What the client should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    Retry,
    ReloadCredentials,
    StepUp,
    Reauthenticate,
    Confirm,
    FixClient,
}

/// One refusal of `/token`, `/revoke`, `/userinfo`, `/session` and their kind.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) error: ErrorCode,
    pub(crate) description: String,
    pub(crate) retryable: bool,
    pub(crate) action: Action,
    /// A stable word (wire.md lists them) that says why.
    pub(crate) reason: &'static str,
    /// Seconds.
    pub(crate) retry_after: Option<u32>,
    pub(crate) www_authenticate: Option<HeaderValue>,
    /// Unix seconds: since when it is so.
    pub(crate) since: Option<u64>,
    pub(crate) continuity: Option<String>,
    pub(crate) step_up_uri: Option<String>,
    /// Set by the layer that knows it.
    pub(crate) request_id: Option<String>,
}
