//! Malformed, oversized, truncated, foreign and repeated input: a clear refusal, and nothing changed.

use axum::body::Body;
use http::{Method, Request};
use perennial_testkit::{Seed, cases};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::world::{OTHER_RETRY_KEY, RETRY_KEY, World};

const FORM: &str = "application/x-www-form-urlencoded";

async fn sent(world: &World, path: &str, content_type: Option<&str>, body: Vec<u8>) -> crate::world::Answer {
    let mut request = Request::post(path);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    world.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn malformed_forms_are_refused_and_change_nothing() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    let before = world.row(sid).await;
    let good = format!("grant_type=refresh_token&client_id=web&refresh_token={token}");
    let long = format!("{good}&padding={}", "x".repeat(16 * 1024));
    for (content_type, body, status, error, reason) in [
        (None, good.clone(), 400, "invalid_request", "not_a_form"),
        (Some("application/json"), good.clone(), 400, "invalid_request", "not_a_form"),
        (Some("text/plain"), good.clone(), 400, "invalid_request", "not_a_form"),
        (Some(FORM), String::new(), 401, "invalid_client", "no_client"),
        (Some(FORM), long, 413, "invalid_request", "too_long"),
        (
            Some(FORM),
            format!("{good}&grant_type=refresh_token"),
            400,
            "invalid_request",
            "repeated_parameter",
        ),
        (Some(FORM), format!("{good}&refresh_token={token}"), 400, "invalid_request", "repeated_parameter"),
        (Some(FORM), format!("{good}&client_id=web"), 400, "invalid_request", "repeated_parameter"),
        (
            Some(FORM),
            format!("{good}&scope=notes&scope=openid"),
            400,
            "invalid_request",
            "repeated_parameter",
        ),
        (Some(FORM), format!("{good}&retry_key=short"), 400, "invalid_request", "malformed_retry_key"),
        (
            Some(FORM),
            format!("{good}&retry_key={}", "x".repeat(129)),
            400,
            "invalid_request",
            "malformed_retry_key",
        ),
        (Some(FORM), format!("{good}&scope=%22"), 400, "invalid_scope", "scope"),
        (Some(FORM), format!("{good}&resource=https://elsewhere.example"), 400, "invalid_target", "resource"),
        (
            Some(FORM),
            "client_id=web&grant_type=refresh_token".to_owned(),
            400,
            "invalid_request",
            "missing_parameter",
        ),
        (
            Some(FORM),
            "client_id=web&grant_type=refresh_token&refresh_token=".to_owned(),
            400,
            "invalid_request",
            "missing_parameter",
        ),
        (Some(FORM), "client_id=web&refresh_token=x".to_owned(), 400, "invalid_request", "missing_parameter"),
        (
            Some(FORM),
            "client_id=web&grant_type=authorization_code".to_owned(),
            400,
            "invalid_request",
            "missing_parameter",
        ),
        (Some(FORM), "client_id=web&grant_type=%00".to_owned(), 400, "unsupported_grant_type", "grant_type"),
    ] {
        let refused = sent(&world, "/token", content_type, body.clone().into_bytes()).await;
        let label = format!("{content_type:?} {body:.120}");
        assert_eq!(refused.status.as_u16(), status, "{label}");
        refused.is_refused(status, error, reason, "fix_client", false);
    }
    let not_text = sent(&world, "/token", Some(FORM), b"client_id=\xff".to_vec()).await;
    not_text.is_refused(400, "invalid_request", "malformed_form", "fix_client", false);
    assert_eq!(world.row(sid).await, before);
}

#[tokio::test]
async fn tokens_that_are_cut_or_mangled_are_unknown() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    let before = world.row(sid).await;
    for mangled in [
        token[..token.len() - 1].to_owned(),
        token[1..].to_owned(),
        format!("{token}A"),
        format!("{token} "),
        token.to_uppercase(),
        token.replace("prn_rt_", "prn_ac_"),
        token.replace("prn_rt_", ""),
        "x".repeat(10_000),
        "\u{0}".to_owned(),
        "…".to_owned(),
    ] {
        let refused = world.refresh("web", &mangled, &[]).await;
        refused.is_refused(400, "invalid_grant", "unknown", "reauthenticate", false);
    }
    assert_eq!(world.row(sid).await, before);
    world.refresh("web", &token, &[]).await.is_issued();
}

#[tokio::test]
async fn unknown_parameters_are_ignored() {
    let world = World::new().await;
    let (_, token) = world.signed_in("web").await;
    let more = [("unknown", "1"), ("unknown", "2"), ("audience", "x"), ("scope", "")];
    world.refresh("web", &token, &more).await.is_issued();
}

#[tokio::test]
async fn retry_keys_that_differ_are_refused() {
    let world = World::new().await;
    let (_, token) = world.signed_in("web").await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &token),
        ("client_id", "web"),
        ("retry_key", RETRY_KEY),
    ];
    let (same, other) = (format!("\"{RETRY_KEY}\""), format!("\"{OTHER_RETRY_KEY}\""));
    for (headers, reason) in [
        (vec![("idempotency-key", other.as_str())], "two_retry_keys"),
        (vec![("idempotency-key", same.as_str()), ("idempotency-key", same.as_str())], "two_retry_keys"),
        (vec![("idempotency-key", RETRY_KEY)], "malformed_retry_key"),
        (vec![("idempotency-key", "\"\"")], "malformed_retry_key"),
    ] {
        let refused = world.post("/token", &form, &headers).await;
        refused.is_refused(400, "invalid_request", reason, "fix_client", false);
    }
    world.post("/token", &form, &[("idempotency-key", &same)]).await.is_issued();
}

#[tokio::test]
async fn secrets_in_addresses_are_refused() {
    let world = World::new().await;
    for path in ["/token?client_secret=x", "/token?refresh_token=x", "/revoke?token=x", "/session?code=x"] {
        let refused = world.post(path, &[("client_id", "web")], &[]).await;
        refused.is_refused(400, "invalid_request", "secret_in_address", "fix_client", false);
    }
    for path in ["/userinfo?access_token=x", "/session?access_token=x"] {
        let refused = world.get(path, &[]).await;
        refused.is_refused(400, "invalid_request", "secret_in_address", "fix_client", false);
    }
}

#[tokio::test]
async fn wrong_methods_say_which_are_right() {
    let world = World::new().await;
    for (path, method, allowed) in [
        ("/token", Method::GET, "POST"),
        ("/revoke", Method::PUT, "POST"),
        ("/jwks", Method::POST, "GET"),
        ("/session", Method::DELETE, "GET"),
    ] {
        let refused = world.ask(method, path, &[]).await;
        refused.is_refused(405, "invalid_request", "method", "fix_client", false);
        assert!(refused.header("allow").contains(allowed), "{path}: {:?}", refused.headers);
    }
}

/// Parts of forms that are nearly right, so that random ones get past the first check.
fn part() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "grant_type",
        "client_id",
        "client_secret",
        "refresh_token",
        "code",
        "code_verifier",
        "redirect_uri",
        "retry_key",
        "scope",
        "resource",
        "token",
        "access_token",
    ]);
    let values = prop_oneof![
        prop::sample::select(vec![
            "refresh_token",
            "authorization_code",
            "client_credentials",
            "web",
            "strict",
            "service",
            "service-secret",
            "notes",
            "openid",
            "TOKEN",
            "CODE",
            RETRY_KEY,
            crate::world::VERIFIER,
            "http%3A%2F%2Flocalhost%3A9000%2Fcallback",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,40}",
        "\\PC{0,8}",
    ];
    (names, values).prop_map(|(name, value)| format!("{name}={value}"))
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::collection::vec(part(), 0..8).prop_map(|parts| parts.join("&").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

fn headers() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let name = prop::sample::select(vec![
        "authorization",
        "idempotency-key",
        "user-agent",
        "origin",
        "content-type",
        "dpop",
    ]);
    let value = prop_oneof![
        "[ -~]{0,60}".prop_map(String::into_bytes),
        "Basic [A-Za-z0-9+/=]{0,40}".prop_map(String::into_bytes),
        "Bearer [A-Za-z0-9._-]{0,60}".prop_map(String::into_bytes),
        prop::collection::vec(0x80u8.., 0..20),
    ];
    prop::collection::vec((name, value), 0..4)
}

#[test]
fn arbitrary_requests_never_panic_and_never_fail() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    let (_, token) = runtime.block_on(world.signed_in("web"));
    let born = runtime.block_on(world.consented("web"));
    let path = prop::sample::select(vec!["/token", "/revoke", "/session", "/userinfo"]);
    let config = ProptestConfig { cases: cases(512), failure_persistence: None, ..ProptestConfig::default() };
    let mut seed = [0; 32];
    Seed::announce().rng().fill(&mut seed);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let requests = (path, body(), headers(), prop::bool::weighted(0.9));
    let ran = TestRunner::new_with_rng(config, rng).run(&requests, |(path, body, headers, is_form)| {
        let body = match String::from_utf8(body) {
            Ok(text) => text.replace("TOKEN", &token).replace("CODE", &born.code).into_bytes(),
            Err(error) => error.into_bytes(),
        };
        let mut request = Request::post(path);
        if is_form {
            request = request.header("content-type", FORM);
        }
        for (name, value) in &headers {
            if let Ok(value) = http::HeaderValue::from_bytes(value) {
                request = request.header(*name, value);
            }
        }
        let answer = runtime.block_on(world.send(request.body(Body::from(body)).unwrap()));
        prop_assert!(!answer.status.is_server_error(), "{:?}", answer);
        if answer.status.is_client_error() {
            for member in ["error", "retryable", "action", "reason", "request_id"] {
                prop_assert!(answer.body.get(member).is_some(), "{member} is missing in {:?}", answer);
            }
        }
        Ok(())
    });
    ran.unwrap_or_else(|failure| panic!("{failure}"));
}
