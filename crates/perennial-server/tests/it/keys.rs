//! The key file, the keys in the store, and what they sign.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use perennial_core::UnixMillis;
use perennial_core::session::SessionSecret;
use perennial_core::session::context::Sends;
use perennial_core::session::token::TokenKind;
use perennial_core::{Generation, SessionId};
use perennial_server::keys::{KeyEncryptionKey, KeyFileError, Keys, KeysError, SigningAlgorithm};
use perennial_store::memory::MemoryStore;
use perennial_store::{PutRecord, RecordKind, Store as _};
use serde_json::{Value, json};

use crate::world::{ISSUER, World};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

fn kek() -> (tempfile::TempDir, KeyEncryptionKey) {
    let folder = tempfile::tempdir().unwrap();
    let kek = KeyEncryptionKey::load_or_create(&folder.path().join("kek")).unwrap();
    (folder, kek)
}

#[tokio::test]
async fn tokens_of_every_algorithm_verify_with_the_published_key() {
    for (ours, theirs) in [
        (SigningAlgorithm::Es256, Algorithm::ES256),
        (SigningAlgorithm::EdDsa, Algorithm::EdDSA),
        (SigningAlgorithm::Rs256, Algorithm::RS256),
    ] {
        let world = World::with(ours).await;
        let born = world.consented("web").await;
        let answer = world.redeem("web", &born.code, &[]).await;
        let jwks: JwkSet = serde_json::from_value(world.get("/jwks", &[]).await.body).unwrap();
        for (token, typ, audience) in [("access_token", "at+jwt", ISSUER), ("id_token", "JWT", "web")] {
            let token = answer.is_issued().text(token);
            let header = jsonwebtoken::decode_header(token).unwrap();
            assert_eq!((header.typ.as_deref(), header.alg), (Some(typ), theirs));
            let jwk = jwks.find(header.kid.as_deref().unwrap()).unwrap();
            let key = DecodingKey::from_jwk(jwk).unwrap();
            let mut validation = Validation::new(theirs);
            validation.set_issuer(&[ISSUER]);
            validation.set_audience(&[audience]);
            jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap();
        }
    }
}

#[tokio::test]
async fn new_algorithm_adds_a_key_and_keeps_the_old_ones_published() {
    let (store, (_folder, kek)) = (MemoryStore::default(), kek());
    let before = Keys::open(&store, &kek, SigningAlgorithm::Es256, NOW).await.unwrap();
    let old = before.sign("at+jwt", &json!({ "n": 1 })).unwrap();
    let after = Keys::open(&store, &kek, SigningAlgorithm::EdDsa, NOW).await.unwrap();
    assert_eq!(after.algorithm(), SigningAlgorithm::EdDsa);
    assert_eq!(after.verified::<Value>("at+jwt", &old), Some(json!({ "n": 1 })));
    let jwks: Value = serde_json::from_slice(&after.jwks()).unwrap();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 2);
    assert_eq!(after.verified::<Value>("JWT", &old), None);
}

#[tokio::test]
async fn keys_outlive_a_restart() {
    let (store, (folder, kek)) = (MemoryStore::default(), kek());
    let before = Keys::open(&store, &kek, SigningAlgorithm::Es256, NOW).await.unwrap();
    let (sid, secret) = (SessionId([1; 16]), SessionSecret([2; 32]));
    let token = before.ring().mint(TokenKind::Refresh, &secret, sid, Generation(3));
    let again = KeyEncryptionKey::load_or_create(&folder.path().join("kek")).unwrap();
    let after = Keys::open(&store, &again, SigningAlgorithm::Es256, NOW).await.unwrap();
    assert_eq!(before.jwks(), after.jwks());
    assert_eq!(after.ring().open(TokenKind::Refresh, &token).unwrap().generation, Generation(3));
    let address = "203.0.113.7".parse().unwrap();
    assert_eq!(before.network_id(address), after.network_id(address));
}

#[tokio::test]
async fn another_key_file_or_a_damaged_key_is_told_apart() {
    let (store, (_folder, own)) = (MemoryStore::default(), kek());
    Keys::open(&store, &own, SigningAlgorithm::Es256, NOW).await.unwrap();
    let (_other_folder, other) = kek();
    let error = Keys::open(&store, &other, SigningAlgorithm::Es256, NOW).await.unwrap_err();
    assert!(matches!(error, KeysError::OtherKeyFile { .. }), "{error}");

    let record = store.record(RecordKind::Key, "tag/001").await.unwrap().unwrap();
    let mut body: Value = serde_json::from_slice(&record.body).unwrap();
    let sealed = body["sealed"].as_str().unwrap().to_owned();
    let flipped = if sealed.starts_with('A') { "B" } else { "A" };
    body["sealed"] = json!(format!("{flipped}{}", &sealed[1..]));
    let put = PutRecord {
        kind: RecordKind::Key,
        key: record.key,
        expect: record.version,
        body: serde_json::to_vec(&body).unwrap(),
    };
    assert!(store.put_records(vec![put]).await.unwrap());
    let error = Keys::open(&store, &own, SigningAlgorithm::Es256, NOW).await.unwrap_err();
    assert!(matches!(error, KeysError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn keys_in_the_store_are_not_readable_without_the_key_file() {
    let (store, (_folder, kek)) = (MemoryStore::default(), kek());
    Keys::open(&store, &kek, SigningAlgorithm::Es256, NOW).await.unwrap();
    let records = store.records(RecordKind::Key, None, 10).await.unwrap();
    assert_eq!(records.len(), 3);
    for record in records {
        let body: Value = serde_json::from_slice(&record.body).unwrap();
        let mut members: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["format", "kek", "made_at", "nonce", "sealed"]);
    }
}

#[test]
fn key_file_is_the_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kek");
    KeyEncryptionKey::load_or_create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = KeyEncryptionKey::load_or_create(&path).unwrap_err();
    assert!(matches!(error, KeyFileError::TooOpen { mode: 0o640, .. }));
    assert!(error.to_string().ends_with(&format!("run `chmod 600 {}`", path.display())), "{error}");
}

#[test]
fn key_file_that_is_none_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kek");
    for content in [String::new(), "short".to_owned(), "!".repeat(43), "A".repeat(1000)] {
        fs::write(&path, &content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = KeyEncryptionKey::load_or_create(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Malformed { .. }), "{error}");
        assert!(!error.to_string().contains('\n'));
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    let error = KeyEncryptionKey::load_or_create(&folder.path().join("missing/kek")).unwrap_err();
    assert!(matches!(error, KeyFileError::Unusable { attempt: "created", .. }), "{error}");
}

#[tokio::test]
async fn contexts_are_prefixes_and_kinds() {
    let (store, (_folder, kek)) = (MemoryStore::default(), kek());
    let keys = Keys::open(&store, &kek, SigningAlgorithm::Es256, NOW).await.unwrap();
    let network = |addr: &str| keys.network_id(addr.parse().unwrap());
    assert_eq!(network("192.0.2.1"), network("192.0.2.254"));
    assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.9"));
    assert_ne!(network("192.0.2.1"), network("192.0.3.1"));
    assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:ffff::9"));
    assert_ne!(network("2001:db8:1::1"), network("2001:db8:2::1"));
    let software = |agent: &str| keys.software_id(agent, Sends::Token);
    assert_eq!(software("perennial/1.0 (linux)"), software("perennial/2.0 (linux)"));
    assert_ne!(software("perennial/1.0 (linux)"), software("perennial/1.0 (macos)"));
    assert_ne!(software(""), software("curl/8"));
    assert_ne!(software("curl/8"), keys.software_id("curl/8", Sends::RetryKey));
}
