//! Signing in over loopback, with a browser that follows redirects.

use std::sync::Arc;
use std::time::Duration;

use perennial_client::login::{Login, LoginError, LoginRequest, client_credentials, store_sign_in};
use perennial_client::{MemoryStore, Secret, Session, SessionOptions, Timeouts};

use crate::fake_server::{FakeServer, Fault};

fn request(server: &FakeServer) -> LoginRequest {
    LoginRequest {
        issuer: server.address.clone(),
        client_id: "demo-cli".to_owned(),
        scope: "openid profile offline_access".to_owned(),
        continues: Some("s-0".to_owned()),
        timeouts: Timeouts::default(),
    }
}

async fn browse(login: &Login) -> tokio::task::JoinHandle<String> {
    let url = login.authorization_url().clone();
    tokio::spawn(async move { reqwest::get(url).await.unwrap().text().await.unwrap() })
}

#[tokio::test]
async fn sign_in_survives_lost_answers_and_keeps_the_session_alive() {
    let server = FakeServer::start(600).await;
    let login = Login::start(request(&server)).await.unwrap();
    server.fault(Fault::AnswerLost);
    server.fault(Fault::AnswerLost);
    let page = browse(&login).await;
    let credentials = login.finish(Duration::from_secs(20)).await.unwrap();
    assert!(page.await.unwrap().contains("Back to your terminal"));
    let keys = server.model().code_keys.clone();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]), "one code, one key");
    assert_eq!(server.model().code.as_ref().unwrap()["continues"], "s-0");
    assert!(credentials.retry_key_welcome);

    let store = Arc::new(MemoryStore::default());
    store_sign_in(store.clone(), credentials).await.unwrap();
    let session = Session::open(store, SessionOptions::default()).await.unwrap();
    assert_eq!(session.token().await.unwrap().expose(), "at-3");
}

#[tokio::test]
async fn code_that_may_have_arrived_is_not_sent_twice_to_a_server_without_retry_keys() {
    let server = FakeServer::start(600).await;
    server.model().is_foreign = true;
    let login = Login::start(request(&server)).await.unwrap();
    server.fault(Fault::AnswerLost);
    let _page = browse(&login).await;
    let error = login.finish(Duration::from_secs(20)).await.unwrap_err();
    assert!(matches!(error, LoginError::Transport { .. }), "{error}");
    assert!(error.is_retriable());
    assert!(server.model().code_keys.is_empty(), "no header that it did not ask for");
}

#[tokio::test]
async fn answer_of_another_issuer_is_thrown_away_before_its_code_leaves() {
    let server = FakeServer::start(600).await;
    server.model().wrong_iss = true;
    let login = Login::start(request(&server)).await.unwrap();
    let _page = browse(&login).await;
    let error = login.finish(Duration::from_secs(20)).await.unwrap_err();
    assert!(matches!(error, LoginError::MixUp(_)), "{error}");
    assert!(server.model().code_keys.is_empty());
}

#[tokio::test]
async fn answer_with_a_wrong_state_changes_nothing() {
    let server = FakeServer::start(600).await;
    let login = Login::start(request(&server)).await.unwrap();
    let redirect = login.authorization_url().query_pairs().find(|(name, _)| name == "redirect_uri").unwrap();
    let forged = format!("{}?code=evil&state=guess&iss={}", redirect.1, server.address);
    let url = login.authorization_url().clone();
    let browser = tokio::spawn(async move {
        let refused = reqwest::get(forged).await.unwrap().status();
        reqwest::get(url).await.unwrap();
        refused
    });
    login.finish(Duration::from_secs(20)).await.unwrap();
    assert_eq!(browser.await.unwrap(), 400);
}

#[tokio::test]
async fn nobody_coming_is_said_clearly() {
    let server = FakeServer::start(600).await;
    let login = Login::start(request(&server)).await.unwrap();
    let error = login.finish(Duration::from_millis(50)).await.unwrap_err();
    assert!(error.to_string().starts_with("no sign-in within"), "{error}");
}

#[tokio::test]
async fn issuer_must_be_the_one_that_was_asked() {
    let server = FakeServer::start(600).await;
    let slashed = LoginRequest { issuer: format!("{}/", server.address), ..request(&server) };
    let error = Login::start(slashed).await.unwrap_err();
    assert!(matches!(error, LoginError::IssuerMismatch { .. }), "{error}");
    let plain = LoginRequest { issuer: "http://id.example.org".to_owned(), ..request(&server) };
    assert!(matches!(Login::start(plain).await.unwrap_err(), LoginError::Insecure(_)));
}

#[tokio::test]
async fn confidential_client_gets_a_token_of_its_own() {
    let server = FakeServer::start(600).await;
    let secret = Secret::from("demo-service-secret");
    let token = client_credentials(&server.address, "demo-service", &secret, None).await.unwrap();
    assert_eq!(token.secret.expose(), "at-service");
    let wrong = client_credentials(&server.address, "demo-service", &Secret::from("x"), None).await;
    assert!(matches!(wrong, Err(LoginError::Refused(_))));
}
