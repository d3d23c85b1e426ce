//! The sample API of `perennial dev`, which people will copy, does what it says.

// The binary that holds it has no library to link to, and the fake issuer lives here.
#[path = "../../../perennial/src/dev/sample_api.rs"]
mod sample_api;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use perennial_verify::Verifier;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::api::{AUDIENCE, ManualClock, claims};
use crate::issuer::Issuer;
use crate::signer::Signer;

async fn call(
    api: &Router,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> (StatusCode, Value) {
    let mut request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = api.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 64 * 1024).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

#[tokio::test]
async fn notes_are_kept_for_each_user_and_need_the_scope() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let clock = Arc::new(ManualClock::default());
    let verifier = Verifier::discover(&issuer.identifier).resource(AUDIENCE).clock(clock).build().unwrap();
    let api = sample_api::router(&verifier);
    let ada = signer.token(&claims(&issuer));
    let mut other = claims(&issuer);
    other["sub"] = json!("grace");
    let grace = signer.token(&other);
    other["scope"] = json!("openid");
    let no_scope = signer.token(&other);
    let note = r#"{"text":"buy milk"}"#;
    let (get, post) = (|| Method::GET, || Method::POST);

    assert_eq!(call(&api, get(), "/notes", Some(&ada), "").await, (StatusCode::OK, json!([])));
    let saved = call(&api, post(), "/notes", Some(&ada), note).await;
    assert_eq!(saved, (StatusCode::CREATED, json!({ "text": "buy milk" })));
    let list = call(&api, get(), "/notes", Some(&ada), "").await;
    assert_eq!(list, (StatusCode::OK, json!([{ "text": "buy milk" }])));
    assert_eq!(call(&api, get(), "/notes", Some(&grace), "").await, (StatusCode::OK, json!([])));

    assert_eq!(call(&api, get(), "/notes", Some(&no_scope), "").await.0, StatusCode::FORBIDDEN);
    assert_eq!(call(&api, get(), "/notes", None, "").await.0, StatusCode::UNAUTHORIZED);
    let (status, who) = call(&api, get(), "/whoami", Some(&no_scope), "").await;
    assert_eq!((status, &who["subject"]), (StatusCode::OK, &json!("grace")));
    assert_eq!(call(&api, get(), "/healthz", None, "").await.0, StatusCode::OK);
    let metadata = call(&api, get(), "/.well-known/oauth-protected-resource", None, "").await;
    assert_eq!(metadata.1["authorization_servers"], json!([issuer.identifier]));

    let huge = json!({ "text": "x".repeat(5_000) }).to_string();
    assert_eq!(call(&api, post(), "/notes", Some(&ada), &huge).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(call(&api, post(), "/notes", Some(&ada), "{").await.0, StatusCode::BAD_REQUEST);
    let wrong = call(&api, post(), "/notes", Some(&ada), r#"{"text":1}"#).await;
    assert_eq!(wrong.0, StatusCode::UNPROCESSABLE_ENTITY);
    for _ in 1..100 {
        assert_eq!(call(&api, post(), "/notes", Some(&ada), note).await.0, StatusCode::CREATED);
    }
    assert_eq!(call(&api, post(), "/notes", Some(&ada), note).await.0, StatusCode::CONFLICT);
}
