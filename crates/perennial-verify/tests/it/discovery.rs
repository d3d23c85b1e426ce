//! Finding the keys: RFC 8414 first, OpenID Connect Discovery where there is none, nobody else's in any case.

use serde_json::json;

use crate::api::{Api, claims};
use crate::issuer::{Answer, Issuer};
use crate::signer::Signer;

const OAUTH: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

#[tokio::test]
async fn metadata_is_found_where_either_standard_puts_it() {
    for (path, well_known) in [
        ("", OAUTH.to_owned()),
        ("", OPENID.to_owned()),
        ("/", OAUTH.to_owned()),
        ("/tenant/one", format!("{OAUTH}/tenant/one")),
        ("/tenant/one", format!("/tenant/one{OPENID}")),
        ("/tenant/", format!("{OAUTH}/tenant")),
        ("/tenant/", format!("/tenant{OPENID}")),
    ] {
        let signer = Signer::es256("k");
        let issuer = Issuer::bare(path).await;
        issuer.publish(&[&signer]);
        issuer.set(&well_known, Answer::Json(issuer.metadata()));
        let answered = Api::new(&issuer).who_am_i(&signer.token(&claims(&issuer))).await;
        assert!(answered.status.is_success(), "{path} {well_known}: {answered:?}");
    }
}

#[tokio::test]
async fn a_portal_before_the_first_metadata_does_not_hide_the_second() {
    let signer = Signer::es256("k");
    let issuer = Issuer::bare("").await;
    issuer.publish(&[&signer]);
    issuer.set(OAUTH, Answer::Html);
    issuer.set(OPENID, Answer::Json(issuer.metadata()));
    Api::new(&issuer).who_am_i(&signer.token(&claims(&issuer))).await.assert_passed();
}

#[tokio::test]
async fn metadata_that_is_not_the_issuers_own_is_not_believed() {
    let signer = Signer::es256("k");
    let good = Issuer::start(&[&signer]).await;
    let metadata = |change: fn(&mut serde_json::Value)| {
        let mut metadata = good.metadata();
        change(&mut metadata);
        Answer::Json(metadata)
    };
    let rows = [
        ("another issuer", metadata(|m| m["issuer"] = json!("https://evil.example"))),
        ("a slash more", metadata(|m| m["issuer"] = json!(format!("{}/", m["issuer"].as_str().unwrap())))),
        ("no issuer", metadata(|m| drop(m.as_object_mut().unwrap().remove("issuer")))),
        ("no keys", metadata(|m| drop(m.as_object_mut().unwrap().remove("jwks_uri")))),
        ("keys without TLS", metadata(|m| m["jwks_uri"] = json!("http://keys.example/jwks"))),
        ("keys in a file", metadata(|m| m["jwks_uri"] = json!("file:///etc/jwks"))),
        ("a portal", Answer::Html),
        ("too much", Answer::Padded { body: good.metadata(), length: 128 * 1024 + 1 }),
        ("elsewhere", Answer::Redirect(good.at("/moved"))),
    ];
    good.set("/moved", Answer::Json(good.metadata()));
    let token = signer.token(&claims(&good));
    for (name, answer) in rows {
        good.set(OAUTH, answer);
        let answered = Api::new(&good).who_am_i(&token).await;
        assert_eq!((answered.status.as_u16(), answered.reason()), (503, "no_keys"), "{name}");
    }
    assert_eq!(good.key_fetches(), 0);
}

#[tokio::test]
async fn keys_are_not_fetched_less_safely_than_the_issuer_itself() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let (_, address) = issuer.identifier.split_once("//").unwrap();
    let address: std::net::SocketAddr = address.parse().unwrap();
    // The keys could be fetched, and from the right place, if the verifier only asked.
    let client = reqwest::Client::builder().no_proxy().resolve("keys.example", address).build().unwrap();
    let jwks_uri = format!("http://keys.example:{}/jwks", address.port());
    assert!(client.get(&jwks_uri).send().await.unwrap().status().is_success());

    issuer.set(OAUTH, Answer::Json(json!({ "issuer": issuer.identifier, "jwks_uri": jwks_uri })));
    let api = Api::with(&issuer, |builder| builder.http_client(client));
    api.who_am_i(&signer.token(&claims(&issuer))).await.assert_refused(503, "no_keys");
    assert_eq!(issuer.key_fetches(), 1, "by the test itself");
}

#[tokio::test]
async fn keys_that_have_moved_are_found_again() {
    let signer = Signer::es256("k");
    let issuer = Issuer::start(&[&signer]).await;
    let api = Api::ready(&issuer).await;
    let (moved, key) = (Signer::es256("moved"), "/keys/v2");
    issuer.set("/jwks", Answer::Status(410));
    issuer.set(key, Answer::Json(json!({ "keys": [moved.jwk()] })));
    issuer.set(OAUTH, Answer::Json(json!({ "issuer": issuer.identifier, "jwks_uri": issuer.at(key) })));
    let token = moved.token(&claims(&issuer));
    api.clock.advance(31);
    api.who_am_i(&token).await.assert_refused(503, "pending_key");
    api.clock.advance(31);
    api.who_am_i(&token).await.assert_passed();
}

#[tokio::test]
async fn a_given_address_of_the_keys_needs_no_metadata() {
    let signer = Signer::es256("k");
    let issuer = Issuer::bare("").await;
    issuer.publish(&[&signer]);
    let address = issuer.at("/jwks");
    let api = Api::with(&issuer, |builder| builder.jwks_uri(address));
    api.who_am_i(&signer.token(&claims(&issuer))).await.assert_passed();
}
