//! From a token's text to the session that it is of: tag, row, proof, client, in this order, and where it is
//! presented from. A forged token never reaches the store.

use http::{HeaderMap, header};
use perennial_core::session::Context;
use perennial_core::session::context::Sends;
use perennial_core::session::retry_key::RetryKeyHash;
use perennial_core::session::token::{NotOpened, OpenedToken, TokenKind};
use perennial_core::{Session, SessionId};
use perennial_store::StoreError;

use crate::clients::Client;
use crate::net::caller::Caller;
use crate::oauth::form::{Form, Parameter};
use crate::refusal::{ErrorCode, Refusal};
use crate::service::Service;
use crate::sweeper::RETENTION_MS;

/// A token of ours and its session, presented by the session's own client.
pub(crate) struct Presentation {
    pub(crate) token: OpenedToken,
    pub(crate) session: Session,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum NotPresented {
    /// The client's: no token of ours, or of no session.
    Unknown,
    /// The client's: another client's token; its owner is unaffected (RFC 6749, 6).
    Foreign,
    /// Ours: tagged by a key that this node does not know yet.
    KeyNotYetKnown,
    /// Ours.
    Store(StoreError),
}

/// Finds the session of a token of `kind` for the authenticated `client`.
pub(crate) async fn find(
    service: &Service,
    kind: TokenKind,
    text: &str,
    client: &Client,
) -> Result<Presentation, NotPresented> {
    let token = service.keys.ring().open(kind, text).map_err(|error| match error {
        NotOpened::Malformed | NotOpened::Forged => NotPresented::Unknown,
        NotOpened::KeyNotYetKnown { .. } => NotPresented::KeyNotYetKnown,
    })?;
    let Some(session) = service.store.session(token.sid).await.map_err(NotPresented::Store)? else {
        missing(service, token.sid);
        return Err(NotPresented::Unknown);
    };
    if !token.is_proven_by(&session.grant.secret) {
        tracing::error!(sid = %token.sid, "a token with a right tag and a wrong proof: has a server key leaked?");
        return Err(NotPresented::Unknown);
    }
    if session.grant.client != client.id {
        tracing::warn!(sid = %token.sid, client = %client.id, owner = %session.grant.client, "another client's token");
        return Err(NotPresented::Foreign);
    }
    Ok(Presentation { token, session })
}

/// A row that is gone although its tag is right: ended and forgotten, or lost. Within retention nothing is
/// forgotten, so then it was lost.
pub(crate) fn missing(service: &Service, sid: SessionId) {
    let now = service.clock.now().wall;
    if now.0 < sid.born().plus(RETENTION_MS).0 {
        tracing::error!(%sid, "the session of a genuine token is missing: has the store lost rows?");
    } else {
        tracing::info!(%sid, "a token of a session that was forgotten");
    }
}

impl From<NotPresented> for Refusal {
    fn from(why: NotPresented) -> Self {
        match why {
            // One answer for both: whose a token is, is nobody else's business.
            NotPresented::Unknown | NotPresented::Foreign => {
                Self::new(ErrorCode::InvalidGrant, "unknown", "The token or code is not known here.")
            }
            NotPresented::KeyNotYetKnown => {
                tracing::warn!("a token is tagged by a server key that this node does not know yet");
                Self::unavailable("key_not_yet_known", "This node must read its keys again. Try again.", 1)
            }
            NotPresented::Store(error) => error.into(),
        }
    }
}

/// Where a presentation comes from.
pub(crate) fn context(
    service: &Service,
    caller: &Caller,
    headers: &HeaderMap,
    client: &Client,
    retry_key: Option<RetryKeyHash>,
) -> Context {
    let sends = match retry_key {
        _ if client.is_confidential() => Sends::Proof,
        Some(_) => Sends::RetryKey,
        None => Sends::Token,
    };
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("");
    Context {
        network: service.keys.network_id(caller.addr),
        software: service.keys.software_id(user_agent, sends),
    }
}

/// The retry key of a request, from the header `Idempotency-Key` or the parameter `retry_key`.
pub(crate) fn retry_key(headers: &HeaderMap, form: &Form<'_>) -> Result<Option<RetryKeyHash>, Refusal> {
    let malformed = |error: perennial_core::session::retry_key::MalformedRetryKey| {
        Refusal::request("malformed_retry_key", format!("{}.", sentence(&error.to_string())))
    };
    let mut values = headers.get_all("idempotency-key").iter();
    let header = values.next().map(|value| RetryKeyHash::of_header(value.as_bytes()));
    if values.next().is_some() {
        return Err(Refusal::request("two_retry_keys", "There is more than one Idempotency-Key header."));
    }
    let header = header.transpose().map_err(malformed)?;
    let parameter =
        form.value(Parameter::RetryKey).map(RetryKeyHash::of_parameter).transpose().map_err(malformed)?;
    match (header, parameter) {
        (Some(header), Some(parameter)) if header != parameter => Err(Refusal::request(
            "two_retry_keys",
            "The header Idempotency-Key and the parameter `retry_key` differ.",
        )),
        (header, parameter) => Ok(header.or(parameter)),
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
