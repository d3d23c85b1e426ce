//! An API behind the verifier, called in process, and the clock that it lives by.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::routing::get;
use axum::{Json, Router};
use http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Request, StatusCode};
use perennial_verify::{Clock, Principal, Verifier, VerifierBuilder, require_scope};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::issuer::Issuer;

pub(crate) const AUDIENCE: &str = "https://api.example";
pub(crate) const START: u64 = 1_800_000_000;

/// A clock that only tests move.
#[derive(Default)]
pub(crate) struct ManualClock {
    passed_seconds: AtomicU64,
}

impl ManualClock {
    pub(crate) fn advance(&self, seconds: u64) {
        self.passed_seconds.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn unix_seconds(&self) -> u64 {
        START + self.passed_seconds.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(1_000 + self.passed_seconds.load(Ordering::SeqCst))
    }
}

pub(crate) struct Api {
    pub(crate) verifier: Verifier,
    pub(crate) clock: Arc<ManualClock>,
    router: Router,
}

#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answered {
    pub(crate) fn challenge(&self) -> &str {
        self.headers.get(WWW_AUTHENTICATE).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or("none")
    }

    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.headers.get(RETRY_AFTER).map(|value| value.to_str().unwrap().parse().unwrap())
    }

    #[track_caller]
    pub(crate) fn assert_passed(&self) {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
    }

    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, reason: &str) {
        assert_eq!((self.status.as_u16(), self.reason()), (status, reason), "{self:?}");
    }
}

impl Api {
    pub(crate) fn new(issuer: &Issuer) -> Self {
        Self::with(issuer, |builder| builder)
    }

    pub(crate) fn with(issuer: &Issuer, settings: impl FnOnce(VerifierBuilder) -> VerifierBuilder) -> Self {
        let clock = Arc::new(ManualClock::default());
        let builder = Verifier::discover(&issuer.identifier).audience(AUDIENCE).clock(clock.clone());
        let verifier = settings(builder).build().unwrap();
        let router = Router::new()
            .route("/whoami", get(|caller: Principal| async { Json(caller) }))
            .route(
                "/write",
                get(|| async { Json(json!({})) }).route_layer(require_scope("notes.write admin")),
            )
            .layer(verifier.layer())
            .merge(verifier.metadata_router());
        Self { verifier, clock, router }
    }

    /// An API whose verifier has its keys.
    pub(crate) async fn ready(issuer: &Issuer) -> Self {
        let api = Self::new(issuer);
        api.verifier.ready().await.unwrap();
        api
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Answered {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 64 * 1024).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answered { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answered {
        let request = Request::get(path).header(AUTHORIZATION, format!("Bearer {token}"));
        self.call(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn who_am_i(&self, token: &str) -> Answered {
        self.get("/whoami", token).await
    }
}

/// The claims of a good access token, five minutes long.
pub(crate) fn claims(issuer: &Issuer) -> Value {
    claims_at(issuer, START)
}

pub(crate) fn claims_at(issuer: &Issuer, now: u64) -> Value {
    json!({
        "iss": issuer.identifier, "sub": "ada", "aud": AUDIENCE, "client_id": "notes-app",
        "iat": now, "exp": now + 300, "jti": "at-1", "scope": "profile notes.read",
        "sid": "s-1", "auth_time": now - 60, "acr": "1",
    })
}
