//! An access token of ours, presented to one of our own endpoints (RFC 6750, 2 and 3).

use http::{HeaderMap, HeaderValue, header};
use perennial_core::{Now, Session, SessionId};

use crate::keys::ACCESS_TOKEN;
use crate::oauth::form::{Form, Parameter};
use crate::oauth::issue::OwnAccessClaims;
use crate::refusal::{Action, ErrorCode, Refusal};
use crate::service::Service;

/// A valid access token and the session that it is of, alive or not.
#[derive(Debug)]
pub(crate) struct Bearer {
    pub(crate) sid: SessionId,
    pub(crate) session: Session,
    pub(crate) claims: OwnAccessClaims,
    pub(crate) now: Now,
}

/// Takes the token of a request, checks it and finds its session.
pub(crate) async fn present(
    service: &Service,
    headers: &HeaderMap,
    form: &Form<'_>,
) -> Result<Bearer, Refusal> {
    let token = token(headers, form)?;
    let claims: OwnAccessClaims = service
        .keys
        .verified(ACCESS_TOKEN, token)
        .filter(|claims: &OwnAccessClaims| claims.iss == *service.issuer)
        .ok_or_else(|| invalid("unknown", "The access token is not one of this server."))?;
    let now = service.clock.now();
    if now.wall.seconds() >= claims.exp {
        let expired = invalid("expired", "The access token has expired: refresh it.");
        return Err(expired.with_action(Action::ReloadCredentials).into_retryable());
    }
    let sid: SessionId = claims
        .sid
        .as_deref()
        .and_then(|sid| sid.parse().ok())
        .ok_or_else(|| invalid("no_session", "The access token is a client's own, not a user's."))?;
    match service.store.session(sid).await? {
        Some(session) => Ok(Bearer { sid, session, claims, now }),
        None => {
            super::presentation::missing(service, sid);
            Err(invalid("unknown", "The session of the access token is not known here."))
        }
    }
}

/// 401 with the challenge that says why (RFC 6750, 3.1).
pub(crate) fn invalid(reason: &'static str, description: &'static str) -> Refusal {
    let challenge =
        format!("Bearer realm=\"perennial\", error=\"invalid_token\", error_description=\"{description}\"");
    Refusal::new(ErrorCode::InvalidToken, reason, description).with_challenge(header_value(&challenge))
}

/// 403 with the scope that is missing (RFC 6750, 3.1).
pub(crate) fn lacks_scope(scope: &str) -> Refusal {
    let challenge = format!("Bearer realm=\"perennial\", error=\"insufficient_scope\", scope=\"{scope}\"");
    let description = format!("The access token lacks the scope {scope}.");
    Refusal::new(ErrorCode::InsufficientScope, "scope", description).with_challenge(header_value(&challenge))
}

fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("Bearer"))
}

/// The token, from one place only: the header or the form (RFC 6750, 2).
fn token<'a>(headers: &'a HeaderMap, form: &'a Form<'_>) -> Result<&'a str, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next();
    let posted = form.value(Parameter::AccessToken);
    if values.next().is_some() || (value.is_some() && posted.is_some()) {
        return Err(Refusal::request("two_tokens", "There is more than one access token: send one."));
    }
    let Some(value) = value else {
        // RFC 6750, 3.1: who sends no token is told no error in the challenge.
        return posted.ok_or_else(|| {
            let bare = HeaderValue::from_static("Bearer realm=\"perennial\"");
            let description = "Send an access token in the header `Authorization: Bearer`.";
            Refusal::new(ErrorCode::InvalidToken, "missing", description).with_challenge(bare)
        });
    };
    let malformed =
        || Refusal::request("malformed_token", "The Authorization header is not `Bearer` and one token.");
    let (scheme, token) =
        value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(malformed());
    }
    Ok(token.trim())
}
