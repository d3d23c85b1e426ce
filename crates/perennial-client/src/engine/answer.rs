//! What a token endpoint's answer means, read from its bytes.
//!
//! Three outcomes and no fourth: tokens, an RFC 6749 error, or something that is not an OAuth answer at all. The
//! last is never believed, whatever its status: it comes from captive portals, proxies and half-open connections,
//! and says nothing about the credentials.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::clocks::{Clocks, UnixMillis};
use crate::credentials::{ASSUMED_LIFETIME_MS, AccessToken, Issued, Notice, SessionFacts, Story};
use crate::secret::Secret;

/// An HTTP answer of a token endpoint, as it came. Redirects are answers too: none is followed.
#[derive(Clone, Default)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Retry-After`: seconds or a date (RFC 9110, 10.2.3).
    pub retry_after: Option<String>,
    /// `Date`.
    pub date: Option<String>,
    /// The body, whole.
    pub body: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for HttpAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Tokens (RFC 6749, 5.1).
    Issued(Box<Issued>),
    /// An error (RFC 6749, 5.2).
    Refused(Box<Refusal>),
    /// Not an OAuth answer; or a server too busy to make one.
    Unbelievable {
        /// What was wrong with it.
        why: Disbelief,
        /// Milliseconds that `Retry-After` asks to wait, where the status is one that goes with it.
        retry_after_ms: Option<u64>,
    },
}

/// Why an answer was not taken for an OAuth answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disbelief {
    /// A redirect; token endpoints do not redirect.
    #[error("the token endpoint's answer was a redirect ({0}): a captive portal, or a wrong address")]
    Redirect(u16),
    /// Not JSON by its content type.
    #[error("the answer ({0}) was not JSON: a captive portal or a proxy answered in the server's place")]
    NotJson(u16),
    /// JSON that is cut, or lacks what RFC 6749 requires.
    #[error("the answer ({0}) was incomplete or not an OAuth answer")]
    Malformed(u16),
    /// A 5xx, 429 or 408 without an OAuth error in it.
    #[error("the server is not available at the moment ({0})")]
    Unavailable(u16),
}

/// An OAuth error, and what the server wants done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// The error and the server's words about it.
    pub story: Story,
    /// What to do.
    pub remedy: Remedy,
    /// Milliseconds that `Retry-After` asks to wait.
    pub retry_after_ms: Option<u64>,
}

/// What a refusal asks of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Try again: nothing was consumed.
    Retry,
    /// A newer token is in the shared store.
    ReloadCredentials,
    /// The user must sign in again; unless the store knows better.
    Reauthenticate,
    /// The session is paused: the user is asked who is who, the credentials stay.
    Confirm,
    /// The user must authenticate once more, the credentials stay (RFC 9470).
    StepUp,
    /// The client's registration or configuration is at fault.
    FixClient,
    /// A code that RFC 6749 does not know, from a server that gives no remedy.
    Unknown,
}

#[derive(Deserialize)]
struct SuccessBody {
    access_token: Zeroizing<String>,
    token_type: String,
    #[serde(default)]
    expires_in: Option<Value>,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default, deserialize_with = "if_fit")]
    id_token: Option<String>,
    #[serde(default, deserialize_with = "if_fit")]
    scope: Option<String>,
    #[serde(default, deserialize_with = "if_fit")]
    session: Option<SessionBody>,
}

#[derive(Deserialize)]
struct SessionBody {
    id: String,
    state: String,
    #[serde(default, deserialize_with = "if_fit")]
    continuity: Option<String>,
    #[serde(default, deserialize_with = "if_fit")]
    idle_expires_at: Option<u64>,
    #[serde(default, deserialize_with = "if_fit")]
    absolute_expires_at: Option<u64>,
    #[serde(default, deserialize_with = "if_fit")]
    ends_at: Option<u64>,
    #[serde(default, deserialize_with = "if_fit")]
    refresh_after: Option<u64>,
    #[serde(default, deserialize_with = "if_fit")]
    missing_scope: Option<String>,
    #[serde(default, deserialize_with = "if_fit")]
    advice: Option<String>,
    #[serde(default, deserialize_with = "if_fit")]
    notices: Vec<Notice>,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: String,
    #[serde(default, deserialize_with = "if_fit")]
    error_description: Option<String>,
    #[serde(default, deserialize_with = "if_fit")]
    error_uri: Option<String>,
    #[serde(default, deserialize_with = "if_fit")]
    step_up_uri: Option<String>,
    #[serde(default, deserialize_with = "if_fit")]
    retryable: Option<bool>,
    #[serde(default, deserialize_with = "if_fit")]
    action: Option<String>,
    #[serde(default, deserialize_with = "if_fit")]
    reason: Option<String>,
    #[serde(default, deserialize_with = "if_fit")]
    request_id: Option<String>,
}

/// A member that nothing hangs on: one of another shape is taken for a missing one, or an oddity of a foreign server
/// would cost the tokens beside it.
fn if_fit<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).unwrap_or_default())
}

/// Reads an answer to a request that left at `asked_at`; `now` is when the answer came.
///
/// ```
/// use perennial_client::Clocks;
/// use perennial_client::engine::{Disbelief, HttpAnswer, Outcome, read_answer};
/// let portal = HttpAnswer {
///     status: 200,
///     content_type: Some("text/html".into()),
///     body: b"<html>Welcome to the station's wifi".to_vec().into(),
///     ..HttpAnswer::default()
/// };
/// let now = Clocks::default();
/// assert_eq!(
///     read_answer(&portal, &now, &now),
///     Outcome::Unbelievable { why: Disbelief::NotJson(200), retry_after_ms: None }
/// );
/// ```
pub fn read_answer(answer: &HttpAnswer, asked_at: &Clocks, now: &Clocks) -> Outcome {
    let busy = answer.status >= 500 || answer.status == 429 || answer.status == 408;
    let retry_after_ms = answer.retry_after.as_deref().and_then(|value| retry_after_ms(value, answer, now));
    let outcome = match answer.status {
        300..=399 => Err(Disbelief::Redirect(answer.status)),
        _ if !is_json(answer.content_type.as_deref()) => Err(Disbelief::NotJson(answer.status)),
        200 => read_success(answer, asked_at, now).map(|issued| Outcome::Issued(Box::new(issued))),
        // RFC 6749, 5.2 and the codes of its extensions; a 404 says nothing about a token.
        400 | 401 | 403 | 409 | 429 | 500..=599 => {
            read_refusal(answer, retry_after_ms).map(|refusal| Outcome::Refused(Box::new(refusal)))
        }
        _ => Err(Disbelief::Malformed(answer.status)),
    };
    outcome.unwrap_or_else(|why| Outcome::Unbelievable {
        why: if busy { Disbelief::Unavailable(answer.status) } else { why },
        retry_after_ms: retry_after_ms.filter(|_| busy),
    })
}

fn is_json(content_type: Option<&str>) -> bool {
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn read_success(answer: &HttpAnswer, asked_at: &Clocks, now: &Clocks) -> Result<Issued, Disbelief> {
    let malformed = Disbelief::Malformed(answer.status);
    let body: SuccessBody = serde_json::from_slice(&answer.body).map_err(|_| malformed)?;
    let bearer = body.token_type.eq_ignore_ascii_case("bearer");
    if body.access_token.is_empty() || !bearer || body.refresh_token.as_deref() == Some("") {
        return Err(malformed);
    }
    let server_wall = answer.date.as_deref().and_then(http_date_ms);
    let lifetime_ms = match &body.expires_in {
        Some(value) => seconds(value).ok_or(malformed)?.saturating_mul(1_000),
        None => lifetime_by_claims(&body.access_token, server_wall.unwrap_or(now.wall))
            .unwrap_or(ASSUMED_LIFETIME_MS),
    };
    let refresh_after_ms = body.session.as_ref().and_then(|session| session.refresh_after);
    Ok(Issued {
        access_token: AccessToken {
            secret: Secret::from(body.access_token.as_str()),
            scope: body.scope,
            asked_at: *asked_at,
            lifetime_ms,
            refresh_after_ms: refresh_after_ms.map(|seconds| seconds.saturating_mul(1_000)),
        },
        refresh_token: body.refresh_token.map(Secret::from),
        id_token: body.id_token.map(Secret::from),
        session: body.session.map(SessionFacts::from),
        server_ahead_ms: server_wall.map(|server| difference_ms(server, now.wall)),
    })
}

impl From<SessionBody> for SessionFacts {
    fn from(body: SessionBody) -> Self {
        Self {
            id: body.id,
            state: body.state,
            continuity: body.continuity,
            idle_expires_at: body.idle_expires_at,
            absolute_expires_at: body.absolute_expires_at,
            ends_at: body.ends_at,
            missing_scope: body.missing_scope,
            advice: body.advice,
            notices: body.notices,
        }
    }
}

fn read_refusal(answer: &HttpAnswer, retry_after_ms: Option<u64>) -> Result<Refusal, Disbelief> {
    let malformed = Disbelief::Malformed(answer.status);
    let body: ErrorBody = serde_json::from_slice(&answer.body).map_err(|_| malformed)?;
    if body.error.is_empty() {
        return Err(malformed);
    }
    Ok(Refusal {
        status: answer.status,
        remedy: remedy(answer.status, &body),
        retry_after_ms,
        story: Story {
            error: body.error,
            reason: body.reason,
            description: body.error_description,
            request_id: body.request_id,
            uri: body.step_up_uri.or(body.error_uri),
        },
    })
}

/// The server's own words first; RFC 6749's codes where it gives none.
fn remedy(status: u16, body: &ErrorBody) -> Remedy {
    // A server that failed, or is too busy, has decided nothing about the credentials, whatever it says.
    if status >= 500 || status == 429 || status == 408 {
        return Remedy::Retry;
    }
    match (body.action.as_deref(), body.retryable) {
        (Some("reload_credentials"), _) => return Remedy::ReloadCredentials,
        (Some("confirm"), _) => return Remedy::Confirm,
        (Some("step_up"), _) => return Remedy::StepUp,
        (Some("reauthenticate"), Some(false) | None) => return Remedy::Reauthenticate,
        (Some("fix_client"), Some(false) | None) => return Remedy::FixClient,
        (_, Some(true)) => return Remedy::Retry,
        (_, Some(false) | None) => {}
    }
    match body.error.as_str() {
        "temporarily_unavailable" | "server_error" | "slow_down" => Remedy::Retry,
        "invalid_grant" => Remedy::Reauthenticate,
        "insufficient_user_authentication" => Remedy::StepUp,
        "invalid_client"
        | "unauthorized_client"
        | "unsupported_grant_type"
        | "invalid_scope"
        | "invalid_request"
        | "invalid_target" => Remedy::FixClient,
        _ => Remedy::Unknown,
    }
}

/// `expires_in` is a number (RFC 6749, 5.1); some servers write it as a string, some with a fraction.
fn seconds(value: &Value) -> Option<u64> {
    let text = value.as_str().and_then(|text| text.parse().ok());
    let seconds = value.as_f64().or(text)?;
    Duration::try_from_secs_f64(seconds).ok().map(|duration| duration.as_secs())
}

/// The life left by the token's own claims, where the server gave no `expires_in`.
fn lifetime_by_claims(access_token: &str, server_now: UnixMillis) -> Option<u64> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
        #[serde(default)]
        iat: Option<u64>,
    }
    let mut parts = access_token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    let from = claims.iat.unwrap_or(server_now.0 / 1_000);
    Some(claims.exp.saturating_sub(from).saturating_mul(1_000))
}

fn retry_after_ms(value: &str, answer: &HttpAnswer, now: &Clocks) -> Option<u64> {
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(seconds.saturating_mul(1_000));
    }
    // A date is the server's: held against the server's own clock where it tells it.
    let server_now = answer.date.as_deref().and_then(http_date_ms).unwrap_or(now.wall);
    http_date_ms(value).map(|at| at.since_ms(server_now))
}

fn http_date_ms(value: &str) -> Option<UnixMillis> {
    let since: Duration = httpdate::parse_http_date(value.trim()).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(UnixMillis)
}

fn difference_ms(ahead: UnixMillis, behind: UnixMillis) -> i64 {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    signed(ahead.0).saturating_sub(signed(behind.0))
}
