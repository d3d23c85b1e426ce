//! Finding the access token in a request (RFC 6750, 2; OAuth 2.1, 5.1).
//!
//! Only the Authorization header counts. A query parameter is refused, as OAuth 2.1 wants it; a form body is
//! left unread, since it belongs to the handler.

use http::header::AUTHORIZATION;
use http::{HeaderMap, Uri};

use crate::refusal::{Refusal, RequestFault};

const SCHEME: &[u8] = b"bearer";

/// The token that a request carries, as RFC 6750, 2.1 writes it.
pub(crate) fn token_of<'request>(headers: &'request HeaderMap, uri: &Uri) -> Result<&'request str, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(RequestFault::SeveralTokens.into());
    }
    let in_header = first.and_then(|value| after_scheme(value.as_bytes()));
    match (in_header, has_query_token(uri)) {
        (Some(_), true) => Err(RequestFault::SeveralTokens.into()),
        (None, true) => Err(RequestFault::TokenInQuery.into()),
        (None, false) => Err(Refusal::NoToken),
        (Some(rest), false) => b64token(rest).ok_or_else(|| RequestFault::MalformedHeader.into()),
    }
}

/// What follows the scheme, if it is Bearer in any case (RFC 9110, 11.1). Another scheme is no token for us.
fn after_scheme(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(SCHEME.len())?;
    let ends_here = rest.first().is_none_or(|&byte| byte == b' ' || byte == b'\t');
    (ends_here && scheme.eq_ignore_ascii_case(SCHEME)).then(|| rest.trim_ascii())
}

/// RFC 6750, 2.1: `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
fn b64token(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let body = text.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    (!body.is_empty() && body.bytes().all(allowed)).then_some(text)
}

fn has_query_token(uri: &Uri) -> bool {
    let Some(query) = uri.query() else { return false };
    // Nearly every query is told apart by this, without decoding it.
    if !query.contains("token") && !query.contains('%') {
        return false;
    }
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token")
}
