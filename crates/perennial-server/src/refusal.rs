//! A refusal as JSON: an RFC 6749 error with what a client needs to go on without guessing from strings.
//!
//! `retryable`, `action` and `reason` are on every one of them; nothing that is retryable has consumed
//! anything (INV-8).

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use perennial_core::ContinuityId;
use perennial_store::StoreError;
use serde::Serialize;

/// The `error` member (RFC 6749, 5.2; RFC 6750, 3.1; RFC 9470, 3; and `conflict`, ours).
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
    InsufficientScope,
    InsufficientUserAuthentication,
    Conflict,
    TemporarilyUnavailable,
    ServerError,
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

impl ErrorCode {
    /// As it stands in answers, logs and the address of the page that explains it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::InsufficientUserAuthentication => "insufficient_user_authentication",
            Self::Conflict => "conflict",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    /// Status, whether the same request may succeed later, and what to do, unless the refusal says otherwise.
    const fn usual(self) -> (StatusCode, bool, Action) {
        match self {
            Self::InvalidRequest
            | Self::UnauthorizedClient
            | Self::UnsupportedGrantType
            | Self::UnsupportedTokenType
            | Self::InvalidScope
            | Self::InvalidTarget => (StatusCode::BAD_REQUEST, false, Action::FixClient),
            Self::InvalidClient => (StatusCode::UNAUTHORIZED, false, Action::FixClient),
            Self::InvalidGrant => (StatusCode::BAD_REQUEST, false, Action::Reauthenticate),
            Self::InvalidToken => (StatusCode::UNAUTHORIZED, false, Action::Reauthenticate),
            Self::InsufficientScope => (StatusCode::FORBIDDEN, false, Action::FixClient),
            Self::InsufficientUserAuthentication => (StatusCode::BAD_REQUEST, true, Action::StepUp),
            Self::Conflict => (StatusCode::CONFLICT, true, Action::ReloadCredentials),
            Self::TemporarilyUnavailable => (StatusCode::SERVICE_UNAVAILABLE, true, Action::Retry),
            Self::ServerError => (StatusCode::INTERNAL_SERVER_ERROR, false, Action::Reauthenticate),
        }
    }
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
    /// What few refusals have.
    aside: Option<Box<Aside>>,
    /// Set by the layer that knows it.
    request_id: Option<Arc<str>>,
    /// Set by the layer that knows it: under it lies the page that explains the error.
    issuer: Option<Arc<str>>,
}

#[derive(Clone, Debug, Default)]
struct Aside {
    www_authenticate: Option<HeaderValue>,
    /// Unix seconds: since when it is so.
    since: Option<u64>,
    continuity: Option<String>,
    step_up_uri: Option<String>,
    /// Seconds: how fresh the authentication must be (RFC 9470, 3).
    max_age: Option<u32>,
}

impl Refusal {
    /// A refusal with the status, retryability and action that are usual for `error`.
    pub(crate) fn new(error: ErrorCode, reason: &'static str, description: impl Into<String>) -> Self {
        let (status, retryable, action) = error.usual();
        Self {
            status,
            error,
            description: description.into(),
            retryable,
            action,
            reason,
            retry_after: None,
            aside: None,
            request_id: None,
            issuer: None,
        }
    }

    /// `invalid_request`: the client's own mistake.
    pub(crate) fn request(reason: &'static str, description: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, reason, description)
    }

    /// 503: the same request may be sent again in so many seconds; nothing was consumed.
    pub(crate) fn unavailable(reason: &'static str, description: &str, seconds: u32) -> Self {
        Self::new(ErrorCode::TemporarilyUnavailable, reason, description).with_retry_after(seconds)
    }

    /// The same with `Retry-After`, in seconds.
    pub(crate) fn with_retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The same with another status.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with another action.
    pub(crate) fn with_action(self, action: Action) -> Self {
        Self { action, ..self }
    }

    /// The same, once the client has done what the action says.
    pub(crate) fn into_retryable(self) -> Self {
        Self { retryable: true, ..self }
    }

    /// The same with a `WWW-Authenticate` challenge.
    pub(crate) fn with_challenge(mut self, challenge: HeaderValue) -> Self {
        self.aside_mut().www_authenticate = Some(challenge);
        self
    }

    /// The same with the time since when it is so, in Unix seconds.
    pub(crate) fn with_since(mut self, since: Option<u64>) -> Self {
        self.aside_mut().since = since;
        self
    }

    /// The same with the identity that a session which replaces this one takes over.
    pub(crate) fn with_continuity(mut self, continuity: ContinuityId) -> Self {
        self.aside_mut().continuity = Some(continuity.to_string());
        self
    }

    /// The same with an authorization request that is ready to open, and how fresh the authentication must be.
    pub(crate) fn with_step_up(mut self, uri: String, max_age: u32) -> Self {
        let aside = self.aside_mut();
        (aside.step_up_uri, aside.max_age) = (Some(uri), Some(max_age));
        self
    }

    /// The same, as an answer to this request of this issuer.
    pub(crate) fn answering(self, issuer: &Arc<str>, request_id: &Arc<str>) -> Self {
        Self { request_id: Some(Arc::clone(request_id)), issuer: Some(Arc::clone(issuer)), ..self }
    }

    fn aside_mut(&mut self) -> &mut Aside {
        self.aside.get_or_insert_default()
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) | StoreError::Full | StoreError::SidTaken | StoreError::Closed => {
                tracing::warn!(%error, "the store did not answer");
                Self::unavailable("store_unavailable", "The server cannot reach its store. Try again.", 2)
            }
            StoreError::Overloaded => {
                tracing::warn!(%error, "the store is overloaded");
                Self::unavailable("overloaded", "The server has too much to do. Try again.", 1)
            }
            StoreError::Damaged { .. } => {
                tracing::error!(%error, "a row is damaged");
                Self::new(
                    ErrorCode::ServerError,
                    "damaged",
                    "What the server kept of this is damaged. Its operator was told; sign in again to go on.",
                )
            }
        }
    }
}

/// The members as they are sent.
#[derive(Serialize)]
struct Body<'a> {
    error: ErrorCode,
    error_description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_uri: Option<String>,
    retryable: bool,
    action: Action,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continuity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step_up_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age: Option<u32>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let aside = self.aside.unwrap_or_default();
        let body = Body {
            error: self.error,
            error_description: &self.description,
            error_uri: self.issuer.as_ref().map(|issuer| format!("{issuer}/errors/{}", self.error.as_str())),
            retryable: self.retryable,
            action: self.action,
            reason: self.reason,
            request_id: self.request_id.as_deref(),
            since: aside.since,
            continuity: aside.continuity.as_deref(),
            step_up_uri: aside.step_up_uri.as_deref(),
            max_age: aside.max_age,
        };
        let body = serde_json::to_vec(&body).expect("strings and numbers are always JSON");
        let mut response = Response::new(body.into());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = aside.www_authenticate {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
