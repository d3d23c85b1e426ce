//! One request by a person's browser, with everything that a page needs to answer it.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode, Uri, header};
use perennial_core::Now;
use zeroize::Zeroize;

use crate::net::caller::Caller;
use crate::service::Service;

use super::parameters::Parameters;
use super::trouble::{Stop, stop_page};

/// A request, without its body.
pub(crate) struct Visit {
    pub(crate) service: Arc<Service>,
    pub(crate) caller: Caller,
    pub(crate) headers: HeaderMap,
    pub(crate) uri: Uri,
    pub(crate) now: Now,
}

/// A request that brings a form.
pub(crate) struct Submitted {
    pub(crate) visit: Visit,
    pub(crate) form: Parameters,
}

impl Visit {
    /// The path that our own addresses begin with: empty unless the issuer has a path.
    pub(crate) fn base(&self) -> &str {
        let issuer: &str = &self.service.issuer;
        let after_scheme = issuer.find("://").map_or(0, |at| at + 3);
        issuer[after_scheme..].find('/').map_or("", |at| issuer[after_scheme + at..].trim_end_matches('/'))
    }

    /// Whether people reach us by https; only then do browsers take `__Host-` cookies.
    pub(crate) fn is_https(&self) -> bool {
        self.service.issuer.starts_with("https://")
    }

    /// The address of the authorization endpoint with these parameters.
    pub(crate) fn authorize(&self, parameters: &Parameters) -> String {
        format!("{}/authorize?{}", self.base(), parameters.to_query())
    }

    /// The value of a cookie; browsers send the most specific one first (RFC 6265, 5.4).
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(own, value)| (own == name).then_some(value))
    }
}

impl FromRequestParts<Arc<Service>> for Visit {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, StatusCode> {
        // The network layer says who is asking before any endpoint runs; without it nothing is answered.
        let Some(caller) = parts.extensions.get::<Caller>().cloned() else {
            tracing::error!("a request reached a page without its caller: the network layer is missing");
            return Err(StatusCode::INTERNAL_SERVER_ERROR);
        };
        Ok(Self {
            service: Arc::clone(service),
            caller,
            headers: parts.headers.clone(),
            uri: parts.uri.clone(),
            now: service.clock.now(),
        })
    }
}

impl FromRequest<Arc<Service>> for Submitted {
    type Rejection = Response;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visit =
            Visit::from_request_parts(&mut parts, service).await.map_err(IntoResponse::into_response)?;
        if !is_form(&visit.headers) {
            return Err(stop_page(&visit, Stop::NotAForm));
        }
        let request = Request::from_parts(parts, body);
        let Ok(body) = Bytes::from_request(request, service).await else {
            return Err(stop_page(&visit, Stop::FormTooLarge));
        };
        let form = Parameters::parse(&body);
        wipe(body);
        match form {
            Ok(form) => Ok(Self { visit, form }),
            Err(_) => Err(stop_page(&visit, Stop::FormTooLarge)),
        }
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

/// A form may carry a password: what can be wiped of it is.
fn wipe(body: Bytes) {
    if let Ok(mut body) = body.try_into_mut() {
        body.zeroize();
    }
}
