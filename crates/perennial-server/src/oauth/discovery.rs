//! The server's metadata (RFC 8414; OpenID Connect Discovery 1.0) and its public keys: only what is there.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use crate::oauth::cors;
use crate::service::Service;

/// How long the metadata may be kept.
const METADATA_KEPT: &str = "public, max-age=300";
/// How long the keys may be kept; whoever meets a `kid` that is not among them asks again.
const KEYS_KEPT: &str = "public, max-age=300, stale-while-revalidate=86400";

/// `GET /.well-known/openid-configuration` and `/.well-known/oauth-authorization-server`.
pub(crate) async fn metadata(State(service): State<Arc<Service>>, asked: HeaderMap) -> Response {
    kept(&service, &asked, METADATA_KEPT, Bytes::from(document(&service).to_string()))
}

/// `GET /jwks` (RFC 7517, 5).
pub(crate) async fn jwks(State(service): State<Arc<Service>>, asked: HeaderMap) -> Response {
    kept(&service, &asked, KEYS_KEPT, service.keys.jwks())
}

fn kept(service: &Service, asked: &HeaderMap, cache_control: &'static str, body: Bytes) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
    cors::allow(service, asked, headers);
    response
}

fn document(service: &Service) -> Value {
    let issuer: &str = &service.issuer;
    let authentication = ["none", "client_secret_basic", "client_secret_post"];
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "end_session_endpoint": format!("{issuer}/logout"),
        "jwks_uri": format!("{issuer}/jwks"),
        "perennial_session_endpoint": format!("{issuer}/session"),
        "perennial_retry_key_supported": true,
        "scopes_supported": scopes(service),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [service.keys.algorithm().name()],
        "token_endpoint_auth_methods_supported": authentication,
        "revocation_endpoint_auth_methods_supported": authentication,
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "at_hash", "sid",
            "name", "preferred_username", "email",
        ],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
    })
}

/// What any enabled client may ask for.
fn scopes(service: &Service) -> BTreeSet<String> {
    let clients = service.clients.all();
    let enabled = clients.iter().filter(|client| !client.disabled);
    enabled.flat_map(|client| client.scopes.iter().map(str::to_owned)).collect()
}
