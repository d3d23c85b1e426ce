//! Which web pages may call from a browser (Fetch, 3.2): those of the origins that clients registered.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::net::caller::Caller;
use crate::oauth::answer;
use crate::refusal::Refusal;
use crate::service::Service;

/// Lets the page that asked read the answer, if its origin is registered.
pub(crate) fn allow(service: &Service, asked: &HeaderMap, headers: &mut HeaderMap) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = asked.get(header::ORIGIN) else { return };
    if !origin.to_str().is_ok_and(|origin| service.clients.allows_origin(origin)) {
        return;
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("DPoP-Nonce, Retry-After, WWW-Authenticate, Date"),
    );
}

/// Answers a preflight request; the browser asks again after two hours.
pub(crate) async fn preflight(State(service): State<Arc<Service>>, asked: HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    allow(&service, &asked, headers);
    if headers.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS).is_some() {
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, Idempotency-Key, DPoP"),
            (header::ACCESS_CONTROL_MAX_AGE, "7200"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}

/// The answer to a method that an endpoint does not take.
pub(crate) async fn wrong_method(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    asked: HeaderMap,
) -> Response {
    let refusal = Refusal::request("method", format!("This address does not take {method}."))
        .with_status(StatusCode::METHOD_NOT_ALLOWED);
    answer::finish(&service, &caller, &asked, Err(refusal))
}
