//! Scopes at the route, the extractor, and the resource metadata (RFC 9728).

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, StatusCode};
use perennial_verify::{BuildError, Principal, Verifier, require_scope};
use serde_json::json;
use tower::ServiceExt as _;

use crate::api::{AUDIENCE, Api, claims};
use crate::issuer::Issuer;
use crate::signer::Signer;

#[tokio::test]
async fn a_missing_scope_is_403_and_names_what_to_ask_for() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::ready(&issuer).await;
    for (scope, passes) in [
        ("profile", false),
        ("notes.write", false),
        ("notes.writer admin", false),
        ("admin notes.write profile", true),
    ] {
        let mut claims = claims(&issuer);
        claims["scope"] = json!(scope);
        let answered = api.get("/write", &signer.token(&claims)).await;
        if passes {
            answered.assert_passed();
            continue;
        }
        answered.assert_refused(403, "scope");
        assert_eq!(answered.body["action"], "request_scope");
        assert_eq!(answered.body["scope"], "notes.write admin");
        assert!(answered.challenge().contains("error=\"insufficient_scope\""), "{}", answered.challenge());
        assert!(answered.challenge().contains("scope=\"notes.write admin\""), "{}", answered.challenge());
    }
}

#[tokio::test]
async fn challenges_point_to_metadata_that_names_resource_and_issuer() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    for (resource, path) in [
        ("https://api.example", "/.well-known/oauth-protected-resource"),
        ("https://api.example/", "/.well-known/oauth-protected-resource"),
        ("https://api.example/v1/notes", "/.well-known/oauth-protected-resource/v1/notes"),
    ] {
        let api = Api::with(&issuer, |builder| builder.resource(resource).scopes_supported(["notes.read"]));
        let refused = api.who_am_i("abc").await;
        let parameter = format!("resource_metadata=\"https://api.example{path}\"");
        assert!(refused.challenge().contains(&parameter), "{}", refused.challenge());
        let no_token = api.call(Request::get("/whoami").body(Body::empty()).unwrap()).await;
        assert!(no_token.challenge().contains(&parameter), "{}", no_token.challenge());

        let served = api.call(Request::get(path).body(Body::empty()).unwrap()).await;
        served.assert_passed();
        assert_eq!(served.headers["access-control-allow-origin"], "*");
        assert_eq!(
            served.body,
            json!({
                "resource": resource, "authorization_servers": [issuer.identifier],
                "bearer_methods_supported": ["header"], "scopes_supported": ["notes.read"],
            })
        );
    }
}

#[tokio::test]
async fn the_resource_is_the_audience_unless_another_is_given() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let verifier = Verifier::discover(&issuer.identifier)
        .resource(AUDIENCE)
        .clock(std::sync::Arc::new(crate::api::ManualClock::default()))
        .build()
        .unwrap();
    assert_eq!(verifier.verify(&signer.token(&claims(&issuer))).await.unwrap().subject(), "ada");
}

#[tokio::test]
async fn a_route_without_a_verifier_lets_nobody_through() {
    let router: Router = Router::new()
        .route("/principal", get(|_: Principal| async { "reached" }))
        .route("/scope", get(|| async { "reached" }).route_layer(require_scope("x")));
    for path in ["/principal", "/scope"] {
        let response = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_the_start() {
    for issuer in [
        "http://id.example",
        "https://id.example?tenant=1",
        "https://id.example#x",
        "https://ada:x@id.example",
        "ftp://id.example",
        "id.example",
        "",
    ] {
        let built = Verifier::discover(issuer).audience(AUDIENCE).build();
        assert!(matches!(built, Err(BuildError::Issuer(_))), "{issuer}");
    }
    let no_audience = Verifier::discover("https://id.example").build();
    assert!(matches!(no_audience, Err(BuildError::NoAudience)));
    let no_algorithm = Verifier::discover("https://id.example").audience(AUDIENCE).algorithms([]).build();
    assert!(matches!(no_algorithm, Err(BuildError::NoAlgorithm)));
    let resource = Verifier::discover("https://id.example").resource("http://api.example").build();
    assert!(matches!(resource, Err(BuildError::Resource(_))));
    for jwks_uri in ["http://id.example/jwks", "http://127.0.0.1/jwks", "jwks"] {
        let built = Verifier::discover("https://id.example").audience(AUDIENCE).jwks_uri(jwks_uri).build();
        assert!(matches!(built, Err(BuildError::JwksUri(_))), "{jwks_uri}");
    }
}

#[test]
fn a_verifier_outside_a_runtime_says_what_is_missing() {
    let built = Verifier::discover("https://id.example").audience(AUDIENCE).build();
    assert!(matches!(built, Err(BuildError::NoRuntime)));
}
