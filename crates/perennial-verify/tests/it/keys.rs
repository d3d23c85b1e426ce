//! The issuer's keys over time: rotations, outages, floods, nonsense (faults 24 and 30).

use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{Api, START, claims, claims_at};
use crate::issuer::{Answer, Issuer};
use crate::signer::Signer;

#[tokio::test]
async fn valid_tokens_pass_while_the_issuer_is_away() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::ready(&issuer).await;
    issuer.go_away().await;
    for hour in 0..5 {
        let now = START + hour * 3600;
        let token = signer.token(&claims_at(&issuer, now));
        api.who_am_i(&token).await.assert_passed();
        api.who_am_i(&token).await.assert_passed();
        api.clock.advance(3600);
    }
}

#[tokio::test]
async fn past_max_stale_it_is_our_trouble_and_heals() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::with(&issuer, |builder| builder.max_stale(Duration::from_secs(600)));
    let mut long_lived = claims(&issuer);
    long_lived["exp"] = json!(START + 10_000);
    let token = signer.token(&long_lived);
    api.who_am_i(&token).await.assert_passed();

    issuer.set("/jwks", Answer::Status(500));
    api.clock.advance(599);
    api.who_am_i(&token).await.assert_passed();
    // That request found the keys due and started a fetch, which fails; the cool-down runs from there.
    issuer.fetched(2).await;
    api.clock.advance(1);
    for token in [token.as_str(), &signer.token(&claims_at(&issuer, START + 600))] {
        let answered = api.who_am_i(token).await;
        answered.assert_refused(503, "stale_keys");
        assert_eq!(answered.body["action"], "retry");
        assert_eq!(answered.body["retryable"], true);
        assert!((1..=30).contains(&answered.retry_after().unwrap()), "{answered:?}");
        assert_eq!(answered.challenge(), "");
    }

    issuer.publish(&[&signer]);
    api.clock.advance(30);
    api.who_am_i(&token).await.assert_passed();
}

#[tokio::test]
async fn a_new_key_is_fetched_when_its_first_token_comes() {
    let (old, new) = (Signer::es256("old"), Signer::new("new", "EdDSA"));
    let issuer = Issuer::start(&[&old]).await;
    let api = Api::ready(&issuer).await;
    issuer.publish(&[&old, &new]);
    api.clock.advance(31);
    let now = START + 31;
    api.who_am_i(&new.token(&claims_at(&issuer, now))).await.assert_passed();
    api.who_am_i(&old.token(&claims_at(&issuer, now))).await.assert_passed();
    assert_eq!(issuer.key_fetches(), 2);
}

#[tokio::test]
async fn a_retired_keys_seen_tokens_stop_passing() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let issuer = Issuer::start(&[&old, &new]).await;
    let api = Api::ready(&issuer).await;
    let (by_old, by_new) = (old.token(&claims(&issuer)), new.token(&claims(&issuer)));
    api.who_am_i(&by_old).await.assert_passed();
    api.who_am_i(&by_new).await.assert_passed();

    issuer.publish(&[&new]);
    api.clock.advance(61);
    let probe = Signer::es256("probe").token(&claims_at(&issuer, START + 61));
    api.who_am_i(&probe).await.assert_refused(401, "unknown_key");

    let answered = api.who_am_i(&by_old).await;
    answered.assert_refused(401, "unknown_key");
    assert_eq!(answered.body["action"], "refresh");
    api.who_am_i(&by_new).await.assert_passed();
    assert_eq!(issuer.key_fetches(), 2);
}

#[tokio::test]
async fn a_key_replaced_under_its_own_name_counts_as_retired() {
    let (first, second) = (Signer::es256("k"), Signer::es256("k"));
    let issuer = Issuer::start(&[&first]).await;
    let api = Api::ready(&issuer).await;
    let token = first.token(&claims(&issuer));
    api.who_am_i(&token).await.assert_passed();
    issuer.publish(&[&second]);
    api.clock.advance(31);
    api.who_am_i(&Signer::es256("probe").token(&claims_at(&issuer, START + 31))).await;
    api.who_am_i(&token).await.assert_refused(401, "signature");
    api.who_am_i(&second.token(&claims_at(&issuer, START + 31))).await.assert_passed();
}

#[tokio::test]
async fn a_flood_of_unknown_keys_costs_one_fetch_per_cool_down() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::ready(&issuer).await;
    let stranger = Signer::es256("stranger");
    for round in 1..=3 {
        api.clock.advance(31);
        let now = START + 31 * round;
        let flood = (0..300).map(|n| {
            let mut header = stranger.header();
            header["kid"] = json!(format!("made-up-{round}-{n}"));
            let token = stranger.sign(&header, &claims_at(&issuer, now));
            let api = &api;
            async move { api.who_am_i(&token).await.status.as_u16() }
        });
        let statuses = futures_util::future::join_all(flood).await;
        assert!(statuses.iter().all(|status| [401, 503].contains(status)));
        assert_eq!(issuer.key_fetches(), 1 + round, "round {round}");
        api.who_am_i(&signer.token(&claims_at(&issuer, now))).await.assert_passed();
    }
}

#[tokio::test]
async fn the_cool_down_holds_after_failures_too() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::ready(&issuer).await;
    issuer.set("/jwks", Answer::Status(500));
    api.clock.advance(31);
    let unknown = Signer::es256("unknown");
    for _ in 0..20 {
        let answered = api.who_am_i(&unknown.token(&claims_at(&issuer, START + 31))).await;
        answered.assert_refused(503, "pending_key");
        assert_eq!(answered.retry_after(), Some(30));
    }
    assert_eq!(issuer.key_fetches(), 2);
    api.who_am_i(&signer.token(&claims_at(&issuer, START + 31))).await.assert_passed();
}

#[tokio::test]
async fn an_unknown_key_is_a_401_only_when_the_keys_are_newer_than_the_token() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::ready(&issuer).await;
    let unknown = Signer::es256("unknown");
    // Within the cool-down nobody can be asked: a token from before the fetch has no key, a newer one may.
    api.who_am_i(&unknown.token(&claims_at(&issuer, START - 60))).await.assert_refused(401, "unknown_key");
    api.who_am_i(&unknown.token(&claims_at(&issuer, START))).await.assert_refused(503, "pending_key");
    api.clock.advance(31);
    api.who_am_i(&unknown.token(&claims_at(&issuer, START + 31))).await.assert_refused(401, "unknown_key");
}

#[tokio::test]
async fn an_expired_token_of_a_key_long_gone_asks_nobody() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::ready(&issuer).await;
    api.clock.advance(3600 * 5);
    let fetches = issuer.key_fetches();
    api.who_am_i(&Signer::es256("gone").token(&claims(&issuer))).await.assert_refused(401, "expired");
    assert_eq!(issuer.key_fetches(), fetches);
}

#[tokio::test]
async fn before_the_first_keys_everything_waits_for_one_fetch() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::new(&issuer);
    let token = signer.token(&claims(&issuer));
    let calls = futures_util::future::join_all((0..50).map(|_| api.who_am_i(&token))).await;
    for answered in calls {
        answered.assert_passed();
    }
    assert_eq!(issuer.key_fetches(), 1);
}

#[tokio::test]
async fn without_any_keys_it_is_503_until_the_issuer_comes() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    issuer.set("/jwks", Answer::Html);
    let api = Api::new(&issuer);
    let token = signer.token(&claims(&issuer));
    let answered = api.who_am_i(&token).await;
    answered.assert_refused(503, "no_keys");
    assert_eq!(answered.retry_after(), Some(1), "API and issuer are often started together");
    issuer.publish(&[&signer]);
    api.clock.advance(1);
    api.who_am_i(&token).await.assert_passed();
}

#[tokio::test]
async fn nonsense_in_place_of_keys_changes_nothing() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::with(&issuer, |builder| builder.max_key_set_bytes(10_000));
    api.verifier.ready().await.unwrap();
    let unknown = Signer::es256("unknown");
    let nonsense = [
        Answer::Html,
        Answer::Status(404),
        Answer::Status(204),
        Answer::Json(json!({ "keys": [] })),
        Answer::Json(json!({ "keys": {} })),
        Answer::Json(json!({ "error": "maintenance" })),
        Answer::Json(json!([])),
        Answer::Padded { body: json!({ "keys": [unknown.jwk(), signer.jwk()] }), length: 10_001 },
        Answer::Redirect(issuer.at("/elsewhere")),
    ];
    issuer.set("/elsewhere", Answer::Json(json!({ "keys": [unknown.jwk()] })));
    for (answer, now) in nonsense.into_iter().zip((START + 31..).step_by(31)) {
        issuer.set("/jwks", answer);
        api.clock.advance(31);
        api.who_am_i(&unknown.token(&claims_at(&issuer, now))).await.assert_refused(503, "pending_key");
        api.who_am_i(&signer.token(&claims_at(&issuer, now))).await.assert_passed();
    }
}

#[tokio::test]
async fn an_issuer_that_says_nothing_is_given_up_on() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    issuer.set("/jwks", Answer::Silence);
    let api = Api::with(&issuer, |builder| builder.fetch_timeout(Duration::from_millis(50)));
    api.who_am_i(&signer.token(&claims(&issuer))).await.assert_refused(503, "no_keys");
}

#[tokio::test]
async fn bad_keys_in_a_set_do_not_spoil_the_good_ones() {
    let (ec, rsa) = (Signer::es256("ec"), Signer::new("rsa", "RS256"));
    let (twin, encryption) = (Signer::es256("ec"), Signer::es256("enc"));
    let mut for_encryption = encryption.jwk();
    for_encryption["use"] = json!("enc");
    let mut short = ec.jwk();
    short["kid"] = json!("short");
    short["x"] = json!("AAAA");
    let mut off_curve = ec.jwk();
    off_curve["kid"] = json!("off-curve");
    off_curve["y"] = off_curve["x"].clone();
    let keys: Vec<Value> = vec![
        json!(7),
        json!({ "kty": 7 }),
        json!({ "kty": "oct", "kid": "hmac", "alg": "HS256", "k": "c2VjcmV0" }),
        json!({ "kty": "EC", "crv": "secp256k1", "kid": "k1", "x": "AA", "y": "AA" }),
        json!({ "kty": "AKP", "alg": "ML-DSA-44", "kid": "pq", "pub": "AA" }),
        json!({ "kty": "RSA", "kid": "small", "n": "AQAB", "e": "AQAB" }),
        for_encryption,
        short,
        off_curve,
        ec.jwk(),
        ec.jwk(),
        twin.jwk(),
        rsa.bare_jwk(),
    ];
    let issuer = Issuer::start(&[]).await;
    issuer.set("/jwks", Answer::Json(json!({ "keys": keys })));
    let api = Api::ready(&issuer).await;
    api.who_am_i(&ec.token(&claims(&issuer))).await.assert_passed();
    api.who_am_i(&twin.token(&claims(&issuer))).await.assert_refused(401, "signature");
    assert!(api.verifier.verify(&encryption.token(&claims(&issuer))).await.is_err());
    let without_kid = json!({ "alg": "RS256", "typ": "at+jwt" });
    api.who_am_i(&rsa.sign(&without_kid, &claims(&issuer))).await.assert_passed();
}

#[tokio::test]
async fn only_so_many_keys_of_a_set_are_looked_at() {
    let signers: Vec<Signer> = (0..5).map(|n| Signer::new(&format!("k{n}"), "EdDSA")).collect();
    let issuer = Issuer::start(&signers.iter().collect::<Vec<_>>()).await;
    let api = Api::with(&issuer, |builder| builder.max_keys(3));
    api.who_am_i(&signers[2].token(&claims(&issuer))).await.assert_passed();
    assert!(api.verifier.verify(&signers[3].token(&claims(&issuer))).await.is_err());
}

#[tokio::test]
async fn a_token_without_kid_is_tried_with_the_keys_of_its_algorithm() {
    let (one, two) = (Signer::es256("one"), Signer::es256("two"));
    let issuer = Issuer::start(&[&one, &two]).await;
    let api = Api::ready(&issuer).await;
    let header = json!({ "alg": "ES256", "typ": "at+jwt" });
    api.who_am_i(&one.sign(&header, &claims(&issuer))).await.assert_passed();
    api.who_am_i(&two.sign(&header, &claims(&issuer))).await.assert_passed();
    api.clock.advance(31);
    let stranger = Signer::es256("three").sign(&header, &claims_at(&issuer, START + 31));
    api.who_am_i(&stranger).await.assert_refused(401, "unknown_key");
}

#[tokio::test]
async fn a_token_without_kid_is_not_tried_with_a_whole_key_set() {
    let signers: Vec<Signer> = (0..5).map(|n| Signer::es256(&format!("k{n}"))).collect();
    let issuer = Issuer::start(&signers.iter().collect::<Vec<_>>()).await;
    let api = Api::ready(&issuer).await;
    let header = json!({ "alg": "ES256", "typ": "at+jwt" });
    api.who_am_i(&signers[3].sign(&header, &claims(&issuer))).await.assert_passed();
    assert!(api.verifier.verify(&signers[4].sign(&header, &claims(&issuer))).await.is_err());
    api.who_am_i(&signers[4].token(&claims(&issuer))).await.assert_passed();
}

#[tokio::test]
async fn keys_are_refreshed_when_due_while_requests_go_on() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let keys = json!({ "keys": [signer.jwk()] });
    for (cache_control, due_after) in [
        ("public, max-age=900", 900),
        ("max-age=5", 60),
        ("no-store", 60),
        ("max-age=999999999", 3600),
        ("public", 300),
    ] {
        issuer.set("/jwks", Answer::JsonFor { body: keys.clone(), cache_control });
        let api = Api::ready(&issuer).await;
        let fetches = issuer.key_fetches();
        // The background goes to sleep before time moves: what follows is the requests' doing.
        tokio::task::yield_now().await;
        api.clock.advance(due_after - 1);
        api.who_am_i(&signer.token(&claims_at(&issuer, START + due_after))).await.assert_passed();
        assert_eq!(issuer.key_fetches(), fetches, "{cache_control}");
        // The next one passes with the keys at hand, even if the issuer says nothing at all.
        issuer.set("/jwks", Answer::Silence);
        api.clock.advance(1);
        api.who_am_i(&signer.token(&claims_at(&issuer, START + due_after))).await.assert_passed();
        issuer.fetched(fetches + 1).await;
    }
}

#[tokio::test]
async fn keys_are_refreshed_without_any_request() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    issuer.set(
        "/jwks",
        Answer::JsonFor { body: json!({ "keys": [signer.jwk()] }), cache_control: "max-age=0" },
    );
    let brief = Duration::from_millis(5);
    let verifier = perennial_verify::Verifier::discover(&issuer.identifier)
        .audience("https://api.example")
        .refresh_between(brief, brief)
        .cool_down(brief)
        .build()
        .unwrap();
    issuer.fetched(4).await;
    drop(verifier);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_take_the_fetch_with_it() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::new(&issuer);
    let token = signer.token(&claims(&issuer));
    let mut call = Box::pin(api.who_am_i(&token));
    assert!(futures_util::FutureExt::now_or_never(call.as_mut()).is_none());
    drop(call);
    api.who_am_i(&token).await.assert_passed();
    assert_eq!(issuer.key_fetches(), 1);
}
