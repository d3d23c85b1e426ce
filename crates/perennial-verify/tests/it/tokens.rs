//! Each check of a token (RFC 9068, 4), alone.

use std::time::Duration;

use perennial_verify::{Algorithm, Profile};
use serde_json::{Value, json};

use crate::api::{AUDIENCE, Api, START, claims};
use crate::issuer::{Answer, Issuer};
use crate::signer::{Signer, b64};

#[tokio::test]
async fn every_algorithm_verifies_where_it_is_allowed() {
    let algorithms = ["ES256", "ES384", "EdDSA", "Ed25519", "RS256", "RS512", "PS256"];
    let signers: Vec<Signer> = algorithms.iter().map(|alg| Signer::new(alg, alg)).collect();
    let issuer = Issuer::start(&signers.iter().collect::<Vec<_>>()).await;
    let by_default = Api::ready(&issuer).await;
    let all = [
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::EdDsa,
        Algorithm::Rs256,
        Algorithm::Rs512,
        Algorithm::Ps256,
    ];
    let everything = Api::with(&issuer, |builder| builder.algorithms(all));
    for signer in &signers {
        let token = signer.token(&claims(&issuer));
        everything.who_am_i(&token).await.assert_passed();
        let answered = by_default.who_am_i(&token).await;
        if ["ES256", "EdDSA", "Ed25519", "RS256"].contains(&signer.alg) {
            answered.assert_passed();
        } else {
            answered.assert_refused(401, "algorithm");
        }
    }
}

#[tokio::test]
async fn a_token_of_another_implementation_passes() {
    let pkcs8 =
        aws_lc_rs::signature::EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING)
            .unwrap();
    let der = pkcs8.to_pkcs8v1().unwrap();
    let point = aws_lc_rs::signature::KeyPair::public_key(&pkcs8).as_ref()[1..].to_vec();
    let issuer = Issuer::start(&[]).await;
    let jwk =
        json!({ "kty": "EC", "crv": "P-256", "kid": "k", "x": b64(&point[..32]), "y": b64(&point[32..]) });
    issuer.set("/jwks", Answer::Json(json!({ "keys": [jwk] })));
    let header = jsonwebtoken::Header {
        typ: Some("at+jwt".to_owned()),
        kid: Some("k".to_owned()),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256)
    };
    let key = jsonwebtoken::EncodingKey::from_ec_der(der.as_ref());
    let token = jsonwebtoken::encode(&header, &claims(&issuer), &key).unwrap();
    Api::new(&issuer).who_am_i(&token).await.assert_passed();
}

#[tokio::test]
async fn the_principal_says_what_the_token_says() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::ready(&issuer).await;
    let mut claims = claims(&issuer);
    claims["aud"] = json!(["https://other.example", AUDIENCE]);
    claims["role"] = json!("editor");
    let token = signer.token(&claims);

    let expected = json!({
        "issuer": issuer.identifier, "subject": "ada", "client": "notes-app",
        "scopes": ["profile", "notes.read"], "audience": ["https://other.example", AUDIENCE],
        "session": "s-1", "token_id": "at-1", "authenticated_at": START - 60, "acr": "1",
        "expires_at": START + 300,
    });
    assert_eq!(api.who_am_i(&token).await.body, expected);
    assert_eq!(api.who_am_i(&token).await.body, expected, "the same from memory");

    let principal = api.verifier.verify(&token).await.unwrap();
    assert_eq!(principal.claims::<Value>().unwrap()["role"], "editor");
    assert!(principal.has_scope("profile") && !principal.has_scope("prof") && !principal.has_scope("admin"));
}

#[tokio::test]
async fn a_token_that_fails_one_check_is_refused_with_its_reason() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::ready(&issuer).await;
    // Claim, its value (null: left out), reason, action.
    let rows = [
        ("iss", json!("https://evil.example"), "issuer", "fix_client"),
        ("iss", json!(format!("{}/", issuer.identifier)), "issuer", "fix_client"),
        ("iss", Value::Null, "issuer", "fix_client"),
        ("aud", json!("https://other.example"), "audience", "fix_client"),
        ("aud", json!("https://api.example/"), "audience", "fix_client"),
        ("aud", json!([]), "audience", "fix_client"),
        ("aud", Value::Null, "audience", "fix_client"),
        ("aud", json!({ "is": AUDIENCE }), "claims", "fix_client"),
        ("exp", json!(START - 30), "expired", "refresh"),
        ("exp", json!(0), "expired", "refresh"),
        ("exp", Value::Null, "claims", "fix_client"),
        ("exp", json!("never"), "claims", "fix_client"),
        ("exp", json!(-1), "claims", "fix_client"),
        ("exp", json!(1e300), "claims", "fix_client"),
        ("nbf", json!(START + 31), "not_yet_valid", "retry"),
        ("iat", json!(START + 31), "not_yet_valid", "retry"),
        ("iat", Value::Null, "claims", "fix_client"),
        ("jti", Value::Null, "claims", "fix_client"),
        ("sub", Value::Null, "claims", "fix_client"),
        ("sub", json!(7), "claims", "fix_client"),
        ("client_id", Value::Null, "claims", "fix_client"),
        ("cnf", json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" }), "binding", "fix_client"),
    ];
    for (claim, value, reason, action) in rows {
        let mut claims = claims(&issuer);
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(claim);
        } else {
            claims[claim] = value.clone();
        }
        let answered = api.who_am_i(&signer.token(&claims)).await;
        assert_eq!((answered.status.as_u16(), answered.reason()), (401, reason), "{claim}: {value}");
        assert_eq!(answered.body["action"], action, "{claim}: {value}");
        assert_eq!(answered.body["error"], "invalid_token");
        assert_eq!(answered.body["retryable"], json!(action != "fix_client"));
        assert!(answered.challenge().contains("error=\"invalid_token\""), "{}", answered.challenge());
        assert!(answered.challenge().contains(&format!("reason=\"{reason}\"")), "{}", answered.challenge());
    }
}

#[tokio::test]
async fn the_leeway_is_what_was_stated_and_not_a_second_more() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::with(&issuer, |builder| builder.leeway(Duration::from_secs(5)));
    for (claim, value, passes) in [
        ("exp", START - 4, true),
        ("exp", START - 5, false),
        ("nbf", START + 5, true),
        ("nbf", START + 6, false),
    ] {
        let mut claims = claims(&issuer);
        claims[claim] = json!(value);
        let answered = api.who_am_i(&signer.token(&claims)).await;
        assert_eq!(answered.status.is_success(), passes, "{claim} {value}: {answered:?}");
    }
}

#[tokio::test]
async fn a_seen_token_expires_all_the_same() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::ready(&issuer).await;
    let token = signer.token(&claims(&issuer));
    api.who_am_i(&token).await.assert_passed();
    api.clock.advance(329);
    api.who_am_i(&token).await.assert_passed();
    api.clock.advance(1);
    api.who_am_i(&token).await.assert_refused(401, "expired");
}

#[tokio::test]
async fn only_access_tokens_pass() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::ready(&issuer).await;
    for (typ, passes) in [
        (json!("at+jwt"), true),
        (json!("AT+JWT"), true),
        (json!("application/at+jwt"), true),
        (json!("JWT"), false),
        (json!("logout+jwt"), false),
        (json!("dpop+jwt"), false),
        (Value::Null, false),
    ] {
        let mut header = signer.header();
        header["typ"] = typ.clone();
        let answered = api.who_am_i(&signer.sign(&header, &claims(&issuer))).await;
        if passes { answered.assert_passed() } else { answered.assert_refused(401, "type") }
    }
}

#[tokio::test]
async fn the_lenient_profile_takes_older_shapes_and_still_no_id_token() {
    let signer = Signer::new("k", "RS256");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::with(&issuer, |builder| builder.profile(Profile::Lenient));
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "k" });
    let base = json!({ "iss": issuer.identifier, "sub": "ada", "aud": AUDIENCE, "exp": 1_800_000_060.5 });
    let rows = [
        ("Keycloak", json!({ "azp": "app", "scope": "profile", "typ": "Bearer" }), Some("app")),
        ("Auth0", json!({ "azp": "app", "scope": "profile" }), Some("app")),
        ("Okta", json!({ "cid": "app", "scp": ["profile"] }), Some("app")),
        ("Entra", json!({ "appid": "app", "scp": "profile" }), Some("app")),
        ("an ID token", json!({ "at_hash": "x", "azp": "app" }), None),
        ("Keycloak's ID token", json!({ "typ": "ID" }), None),
        ("Keycloak's refresh token", json!({ "typ": "Refresh" }), None),
        ("a logout token", json!({ "events": {} }), None),
    ];
    for (name, more, client) in rows {
        let mut claims = base.clone();
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answered = api.who_am_i(&signer.sign(&header, &claims)).await;
        match client {
            Some(client) => {
                assert_eq!(answered.body["client"], client, "{name}: {answered:?}");
                assert_eq!(answered.body["scopes"], json!(["profile"]), "{name}");
            }
            None => assert_eq!(answered.reason(), "type", "{name}: {answered:?}"),
        }
    }
}

#[tokio::test]
async fn no_algorithm_of_the_tokens_choosing_is_believed() {
    let (ec, rsa) = (Signer::es256("ec"), Signer::new("rsa", "RS256"));
    let issuer = Issuer::start(&[&ec, &rsa]).await;
    let api = Api::ready(&issuer).await;
    let claims = b64(claims(&issuer).to_string());

    for alg in ["none", "None", "NONE", ""] {
        let header = b64(json!({ "alg": alg, "typ": "at+jwt", "kid": "ec" }).to_string());
        api.who_am_i(&format!("{header}.{claims}.")).await.assert_refused(401, "algorithm");
    }
    // HMAC with the public key as its secret, in every shape that a careless library might use.
    for jwk in [ec.jwk(), rsa.jwk()] {
        let part = jwk["n"].as_str().or(jwk["x"].as_str()).unwrap().to_owned();
        for secret in [jwk.to_string(), part] {
            let header = b64(json!({ "alg": "HS256", "typ": "at+jwt", "kid": jwk["kid"] }).to_string());
            let input = format!("{header}.{claims}");
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
            let tag = b64(aws_lc_rs::hmac::sign(&key, input.as_bytes()));
            api.who_am_i(&format!("{input}.{tag}")).await.assert_refused(401, "algorithm");
        }
    }
    // An allowed algorithm, but not the key's; and a key that the token brings along.
    let mut swapped = ec.header();
    swapped["kid"] = json!("rsa");
    let token = ec.sign(&swapped, &crate::api::claims(&issuer));
    api.clock.advance(31);
    assert!([401, 503].contains(&api.who_am_i(&token).await.status.as_u16()));
    let stranger = Signer::es256("ec");
    let mut header = stranger.header();
    header["jwk"] = stranger.jwk();
    header["jku"] = json!("https://evil.example/jwks");
    let token = stranger.sign(&header, &crate::api::claims(&issuer));
    api.who_am_i(&token).await.assert_refused(401, "signature");
}

#[tokio::test]
async fn a_critical_header_is_not_understood() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let mut header = signer.header();
    header["crit"] = json!(["b64"]);
    header["b64"] = json!(false);
    let token = signer.sign(&header, &claims(&issuer));
    Api::ready(&issuer).await.who_am_i(&token).await.assert_refused(401, "malformed");
}

#[tokio::test]
async fn a_token_cut_or_spoiled_anywhere_never_passes() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::ready(&issuer).await;
    let token = signer.token(&claims(&issuer));
    api.who_am_i(&token).await.assert_passed();
    for length in 1..token.len() {
        assert!(api.verifier.verify(&token[..length]).await.is_err(), "cut at {length}");
    }
    for at in 0..token.len() {
        let mut spoiled = token.clone().into_bytes();
        spoiled[at] = if spoiled[at] == b'A' { b'B' } else { b'A' };
        let spoiled = String::from_utf8(spoiled).unwrap();
        assert!(api.verifier.verify(&spoiled).await.is_err(), "spoiled at {at}");
    }
    api.who_am_i(&token).await.assert_passed();
    assert_eq!(issuer.key_fetches(), 1, "spoiled key ids within the cool-down cost no fetch");
}

#[tokio::test]
async fn an_oversized_token_is_not_even_taken_apart() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::with(&issuer, |builder| builder.max_token_bytes(600));
    api.who_am_i(&signer.token(&claims(&issuer))).await.assert_passed();
    let mut long = claims(&issuer);
    long["padding"] = json!("x".repeat(600));
    api.who_am_i(&signer.token(&long)).await.assert_refused(401, "oversized");
}
