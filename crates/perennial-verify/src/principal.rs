//! Who is calling: what a handler gets to see of a verified token.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::challenge::plain_answer;
use crate::refusal::Refusal;

/// The caller of a request, as its access token says, verified. Cheap to clone.
///
/// In axum it is an extractor; elsewhere it lies in the request's extensions. As JSON it has the members below
/// that are there, times in Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    claims: Arc<Verified>,
}

/// The claims of a verified token, in our words.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Verified {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) client: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) audience: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authenticated_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acr: Option<String>,
    pub(crate) expires_at: u64,
    #[serde(skip)]
    pub(crate) payload: Box<[u8]>,
}

impl Principal {
    pub(crate) fn new(claims: Verified) -> Self {
        Self { claims: Arc::new(claims) }
    }

    /// Who the token is about: the user, or the client itself where no user is involved (`sub`).
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.claims.subject
    }

    /// The client that the token was issued to (`client_id`, RFC 9068, 2.2).
    #[must_use]
    pub fn client(&self) -> &str {
        &self.claims.client
    }

    /// The granted scopes.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.claims.scopes
    }

    /// Whether `scope` was granted.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.claims.scopes.iter().any(|granted| granted == scope)
    }

    /// The session that the token belongs to (`sid`), where the issuer says it.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.claims.session.as_deref()
    }

    /// The APIs that the token is for (`aud`); ours is among them.
    #[must_use]
    pub fn audience(&self) -> &[String] {
        &self.claims.audience
    }

    /// The issuer (`iss`).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.claims.issuer
    }

    /// When the user last signed in, Unix seconds (`auth_time`).
    #[must_use]
    pub fn authenticated_at(&self) -> Option<u64> {
        self.claims.authenticated_at
    }

    /// How strongly the user signed in (`acr`).
    #[must_use]
    pub fn acr(&self) -> Option<&str> {
        self.claims.acr.as_deref()
    }

    /// When the token expires, Unix seconds (`exp`).
    #[must_use]
    pub fn expires_at(&self) -> u64 {
        self.claims.expires_at
    }

    /// The token's own name (`jti`), for an audit log.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.claims.token_id.as_deref()
    }

    /// The claims as a type of your own, for what the issuer adds to them.
    ///
    /// # Errors
    /// The claims do not have the shape of `T`.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.claims.payload)
    }
}

impl Serialize for Principal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.claims.serialize(serializer)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!(
                path = parts.uri.path(),
                "a handler asks for a Principal without a verifier layer"
            );
            Refusal::Unprotected
        })
    }
}

impl IntoResponse for Refusal {
    /// The answer without the API's own challenge; the layer sends the whole one.
    fn into_response(self) -> Response {
        plain_answer(&self)
    }
}
