//! What this API says about itself (RFC 9728): which issuer to get tokens from, and which scopes there are.

use axum::Router;
use axum::routing::get;
use http::HeaderName;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use url::Url;

use crate::keys::is_loopback;

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Readable from any page: it is public, and browser clients need it.
const HEADERS: [(HeaderName, &str); 3] = [
    (CONTENT_TYPE, "application/json"),
    (CACHE_CONTROL, "public, max-age=3600"),
    (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
];

/// The metadata of one protected resource.
#[derive(Debug, Clone)]
pub(crate) struct ResourceMetadata {
    resource: String,
    address: String,
    path: String,
    document: String,
}

#[derive(Serialize)]
struct Document<'api> {
    resource: &'api str,
    authorization_servers: [&'api str; 1],
    bearer_methods_supported: [&'static str; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<String>,
}

impl ResourceMetadata {
    /// Nothing when `resource` is not an address by RFC 9728, 1.2.
    pub(crate) fn new(resource: &str, issuer: &str, scopes_supported: Vec<String>) -> Option<Self> {
        let url = Url::parse(resource).ok()?;
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        if !is_safe || url.fragment().is_some() {
            return None;
        }
        // RFC 9728, 3.1: the well-known part goes between host and path; a lone slash is no path.
        let path = format!("{WELL_KNOWN}{}", url.path().trim_end_matches('/'));
        let mut address = url;
        address.set_path(&path);
        let document = Document {
            resource,
            authorization_servers: [issuer],
            bearer_methods_supported: ["header"],
            scopes_supported,
        };
        Some(Self {
            resource: resource.to_owned(),
            address: address.into(),
            path,
            document: serde_json::to_string(&document).ok()?,
        })
    }

    pub(crate) fn resource(&self) -> &str {
        &self.resource
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let document = self.document.clone();
        Router::new().route(&self.path, get(move || async move { (HEADERS, document) }))
    }
}
