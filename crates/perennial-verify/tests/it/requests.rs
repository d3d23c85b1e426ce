//! How a request presents its token (RFC 6750, 2 and 3).

use axum::body::Body;
use http::Request;
use http::header::{AUTHORIZATION, HeaderValue};

use crate::api::{AUDIENCE, Answered, Api, claims};
use crate::issuer::Issuer;
use crate::signer::Signer;

async fn set_up() -> (Api, String, Issuer) {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let token = signer.token(&claims(&issuer));
    (Api::ready(&issuer).await, token, issuer)
}

async fn send(api: &Api, uri: &str, authorization: &[&str]) -> Answered {
    let mut request = Request::get(uri);
    for value in authorization {
        request = request.header(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    api.call(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn no_token_is_a_challenge_without_an_error() {
    let (api, _, _issuer) = set_up().await;
    for authorization in [&[][..], &["Basic YWRhOngx"], &["DPoP abc"], &["Bearertoken abc"], &[""]] {
        let answered = send(&api, "/whoami", authorization).await;
        answered.assert_refused(401, "no_token");
        assert_eq!(answered.challenge(), format!("Bearer realm=\"{AUDIENCE}\""));
        assert_eq!(answered.body["action"], "authenticate");
        assert!(answered.body.get("error").is_none());
    }
}

#[tokio::test]
async fn the_scheme_has_no_case() {
    let (api, token, _issuer) = set_up().await;
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        send(&api, "/whoami", &[&format!("{scheme} {token}")]).await.assert_passed();
    }
    send(&api, "/whoami", &[&format!("Bearer   {token} ")]).await.assert_passed();
}

#[tokio::test]
async fn a_token_in_two_places_is_an_invalid_request() {
    let (api, token, _issuer) = set_up().await;
    let bearer = format!("Bearer {token}");
    let in_both = send(&api, &format!("/whoami?access_token={token}"), &[&bearer]).await;
    let twice = send(&api, "/whoami", &[&bearer, &bearer]).await;
    for answered in [in_both, twice] {
        answered.assert_refused(400, "several_tokens");
        assert!(answered.challenge().contains("error=\"invalid_request\""), "{}", answered.challenge());
        assert_eq!(answered.body["action"], "fix_client");
        assert_eq!(answered.body["retryable"], false);
    }
}

#[tokio::test]
async fn a_token_in_the_address_is_refused() {
    let (api, token, _issuer) = set_up().await;
    for query in ["access_token", "a=b&access_token", "acc%65ss_token"] {
        let answered = send(&api, &format!("/whoami?{query}={token}"), &[]).await;
        answered.assert_refused(400, "token_in_query");
    }
    let other = send(&api, "/whoami?page_token=7&q=%61", &[&format!("Bearer {token}")]).await;
    other.assert_passed();
}

#[tokio::test]
async fn a_header_that_is_not_bearer_and_one_token_is_an_invalid_request() {
    let (api, token, _issuer) = set_up().await;
    let two = format!("Bearer {token} {token}");
    let list = format!("Bearer {token}, Bearer {token}");
    for value in ["Bearer", "Bearer ", "Bearer =", &two, &list, "Bearer tök\u{20ac}n", "Bearer a\"b"] {
        send(&api, "/whoami", &[value]).await.assert_refused(400, "malformed_header");
    }
}

#[tokio::test]
async fn a_refusal_is_never_cached_and_says_json() {
    let (api, _, _issuer) = set_up().await;
    let answered = send(&api, "/whoami", &["Bearer abc"]).await;
    answered.assert_refused(401, "malformed");
    assert_eq!(answered.headers["cache-control"], "no-store");
    assert_eq!(answered.headers["content-type"], "application/json");
    assert!(answered.body["error_description"].as_str().unwrap().contains("not a signed JWT"));
}

#[tokio::test]
async fn whoever_verifies_by_hand_gets_the_same_answer() {
    let (api, token, issuer) = set_up().await;
    let by_layer = send(&api, "/whoami", &["Bearer abc"]).await;
    let refusal = api.verifier.verify("abc").await.unwrap_err();
    let by_hand = api.verifier.answer(&refusal);
    assert_eq!(by_hand.status(), by_layer.status);
    assert_eq!(by_hand.headers()["www-authenticate"], by_layer.challenge());
    let without_memory = Api::with(&issuer, |builder| builder.seen_tokens(0));
    for _ in 0..3 {
        without_memory.who_am_i(&token).await.assert_passed();
    }
}
