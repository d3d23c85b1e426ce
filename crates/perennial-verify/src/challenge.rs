//! A refusal as an HTTP answer: status, `WWW-Authenticate` (RFC 6750, 3; RFC 9728, 5.1) and a small JSON body
//! that says the same to clients that do not read headers.

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::refusal::Refusal;

/// What every challenge of one API has in common.
#[derive(Debug)]
pub(crate) struct Challenge {
    realm: String,
    resource_metadata: Option<String>,
}

#[derive(Serialize)]
struct Problem<'refusal> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    error_description: &'refusal str,
    retryable: bool,
    action: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'refusal str>,
}

impl Challenge {
    pub(crate) fn new(realm: &str, resource_metadata: Option<&str>) -> Self {
        Self { realm: realm.to_owned(), resource_metadata: resource_metadata.map(str::to_owned) }
    }

    /// The whole answer to a refused request.
    pub(crate) fn answer(&self, refusal: &Refusal) -> Response<Body> {
        let mut response = plain_answer(refusal);
        if let Some(header) = self.header(refusal) {
            response.headers_mut().insert(WWW_AUTHENTICATE, header);
        }
        response
    }

    /// RFC 6750, 3: the scheme is followed by at least one parameter, so the realm is always there.
    fn header(&self, refusal: &Refusal) -> Option<HeaderValue> {
        match refusal {
            Refusal::NoToken
            | Refusal::InvalidRequest(_)
            | Refusal::InvalidToken(_)
            | Refusal::InsufficientScope { .. } => {}
            Refusal::Unavailable { .. } | Refusal::Unprotected => return None,
        }
        let mut header = String::from("Bearer ");
        push_parameter(&mut header, "realm", &self.realm);
        // RFC 6750, 3.1: a request without any token gets no error code.
        if let Some(error) = refusal.error() {
            push_parameter(&mut header, "error", error);
            push_parameter(&mut header, "error_description", &refusal.to_string());
            push_parameter(&mut header, "reason", refusal.reason());
            push_parameter(&mut header, "action", refusal.action().as_str());
        }
        if let Refusal::InsufficientScope { required } = refusal {
            push_parameter(&mut header, "scope", required);
        }
        if let Some(address) = &self.resource_metadata {
            push_parameter(&mut header, "resource_metadata", address);
        }
        HeaderValue::from_str(&header).ok()
    }
}

/// The answer without a challenge: status, caching and body.
pub(crate) fn plain_answer(refusal: &Refusal) -> Response<Body> {
    let description = refusal.to_string();
    let scope = match refusal {
        Refusal::InsufficientScope { required } => Some(required.as_str()),
        Refusal::NoToken
        | Refusal::InvalidRequest(_)
        | Refusal::InvalidToken(_)
        | Refusal::Unavailable { .. }
        | Refusal::Unprotected => None,
    };
    let problem = Problem {
        error: refusal.error(),
        error_description: &description,
        retryable: refusal.is_retryable(),
        action: refusal.action().as_str(),
        reason: refusal.reason(),
        scope,
    };
    let body = serde_json::to_vec(&problem).expect("a struct of strings and a bool is always JSON");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status(refusal);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Refusal::Unavailable { fault: _, retry_after } = refusal {
        headers.insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
    }
    response
}

fn status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::NoToken | Refusal::InvalidToken(_) => StatusCode::UNAUTHORIZED,
        Refusal::InvalidRequest(_) => StatusCode::BAD_REQUEST,
        Refusal::InsufficientScope { .. } => StatusCode::FORBIDDEN,
        Refusal::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Unprotected => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Adds `name="value"`. RFC 6750, 3 allows printable ASCII without `"` and `\` in these values; what else turns
/// up is left out rather than escaped, since clients differ in how they unescape.
fn push_parameter(header: &mut String, name: &str, value: &str) {
    if !header.ends_with(' ') {
        header.push_str(", ");
    }
    header.push_str(name);
    header.push_str("=\"");
    header.extend(value.chars().filter(|c| matches!(c, ' ' | '!' | '#'..='[' | ']'..='~')));
    header.push('"');
}
