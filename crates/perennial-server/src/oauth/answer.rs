//! How every answer leaves: never cached, readable by the origins that clients registered, a refusal with the
//! request's id.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use serde::Serialize;

use crate::net::caller::Caller;
use crate::oauth::cors;
use crate::refusal::Refusal;
use crate::service::Service;

/// JSON that is never cached (RFC 6749, 5.1).
pub(crate) fn json(body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).expect("strings and numbers are always JSON");
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// The answer to a request, whichever way it went.
pub(crate) fn finish(
    service: &Service,
    caller: &Caller,
    asked: &http::HeaderMap,
    outcome: Result<Response, Refusal>,
) -> Response {
    let mut response = match outcome {
        Ok(response) => response,
        Err(refusal) => {
            let (error, reason) = (refusal.error.as_str(), refusal.reason);
            tracing::debug!(request_id = %caller.request_id, error, reason, "refused");
            refusal.answering(&service.issuer, &caller.request_id).into_response()
        }
    };
    cors::allow(service, asked, response.headers_mut());
    response
}
