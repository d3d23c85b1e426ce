//! Arbitrary bytes where a token belongs: refused, never a panic.
//!
//! The seed is printed, and `PERENNIAL_SEED` (a number) runs the same cases again.

use std::hash::{BuildHasher as _, RandomState};

use axum::body::Body;
use http::Request;
use http::header::{AUTHORIZATION, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

use crate::api::{Api, claims};
use crate::issuer::Issuer;
use crate::signer::{Signer, b64};

fn runner(cases: u32) -> TestRunner {
    let given =
        std::env::var("PERENNIAL_SEED").ok().map(|seed| seed.parse().expect("PERENNIAL_SEED is a u64"));
    let seed: u64 = given.unwrap_or_else(|| RandomState::new().hash_one(()));
    println!("PERENNIAL_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

fn set_up() -> (tokio::runtime::Runtime, Api, Issuer) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (api, issuer) = runtime.block_on(async {
        let issuer = Issuer::start(&[&Signer::es256("k")]).await;
        (Api::ready(&issuer).await, issuer)
    });
    (runtime, api, issuer)
}

#[test]
fn arbitrary_authorization_headers_are_refused() {
    let (runtime, api, _issuer) = set_up();
    let header = prop_oneof![
        vec(any::<u8>(), 0..400),
        vec(any::<u8>(), 0..400).prop_map(|bytes| [b"Bearer ".as_slice(), &bytes].concat()),
        "[Bb]earer [A-Za-z0-9._~+/=-]{0,300}".prop_map(String::into_bytes),
    ];
    runner(2_000)
        .run(&header, |bytes| {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            let request = Request::get("/whoami").header(AUTHORIZATION, value).body(Body::empty()).unwrap();
            let status = runtime.block_on(api.call(request)).status.as_u16();
            prop_assert!([400, 401].contains(&status), "{status}");
            Ok(())
        })
        .unwrap();
}

#[test]
fn arbitrary_headers_claims_and_signatures_are_refused() {
    let (runtime, api, issuer) = set_up();
    let good_header = Just(Signer::es256("k").header().to_string().into_bytes());
    let good_claims = Just(claims(&issuer).to_string().into_bytes());
    let json_like = "[\\[\\]{}\":,a-z0-9 ]{0,60}".prop_map(String::into_bytes);
    let nested = (1..4_000_usize).prop_map(|depth| "[".repeat(depth).into_bytes());
    let claimed = any::<(u64, i64, bool)>()
        .prop_map(|(a, b, c)| json!({ "exp": a, "nbf": b, "aud": c }).to_string().into_bytes());
    let parts = (
        prop_oneof![good_header, vec(any::<u8>(), 0..100), json_like.clone()],
        prop_oneof![good_claims, json_like, nested, claimed],
        prop_oneof![vec(any::<u8>(), 64), vec(any::<u8>(), 0..200)],
    );
    runner(2_000)
        .run(&parts, |(header, claims, signature)| {
            let token = format!("{}.{}.{}", b64(header), b64(claims), b64(signature));
            prop_assert!(runtime.block_on(api.verifier.verify(&token)).is_err());
            Ok(())
        })
        .unwrap();
}
