//! The driver over real sockets: lost and broken answers, portals, busy servers, APIs that say no, many callers.

use std::sync::Arc;
use std::time::Duration;

use perennial_client::{
    Credentials, FileStore, MemoryStore, Phase, Session, SessionOptions, Store, TokenError, Trouble,
};

use crate::fake_server::{CuttingProxy, FakeServer, Fault};

async fn open(credentials: Credentials) -> (Session, MemoryStore) {
    let store = MemoryStore::holding(credentials);
    let session = Session::open(Arc::new(store.clone()), SessionOptions::default()).await.unwrap();
    (session, store)
}

fn answer(status: u16, content_type: &'static str, body: &str) -> Fault {
    Fault::Answer { status, content_type, extra: Vec::new(), body: body.to_owned() }
}

#[tokio::test]
async fn twenty_four_callers_share_one_refresh() {
    let server = FakeServer::start(600).await;
    let (session, _) = open(server.imported()).await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let session = session.clone();
        callers.spawn(async move { session.token().await.unwrap().expose().to_owned() });
    }
    let tokens = callers.join_all().await;
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!(server.model().refreshes, 1);
}

#[tokio::test]
async fn lost_answer_is_tried_again_with_the_same_key() {
    let server = FakeServer::start(600).await;
    server.fault(Fault::AnswerLost);
    server.fault(Fault::AnswerLost);
    let (session, store) = open(server.imported()).await;
    assert_eq!(session.token().await.unwrap().expose(), "at-3");
    assert_eq!(server.model().generation, 1);
    assert!(!server.model().two_keys);
    let stored = store.read(None).unwrap().unwrap();
    assert_eq!(stored.refresh_token().unwrap().expose(), "rt-1");
    assert!(stored.retry_key.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_cut_at_every_byte_is_never_stored_and_always_replayed() {
    let server = FakeServer::start(600).await;
    let proxy = CuttingProxy::before(&server).await;
    let (session, _) = open(server.imported_through(&proxy.address)).await;
    session.token().await.unwrap();
    let whole = proxy.longest.load(std::sync::atomic::Ordering::Relaxed);
    assert!(whole > 200);
    let mut running = tokio::task::JoinSet::new();
    for cut in 0..whole {
        while running.len() >= 64 {
            running.join_next().await.unwrap().unwrap();
        }
        running.spawn(survives_a_cut_at(cut));
    }
    running.join_all().await;
}

async fn survives_a_cut_at(cut: usize) {
    let server = FakeServer::start(600).await;
    let proxy = CuttingProxy::before(&server).await;
    proxy.cuts.lock().unwrap().push_back(cut);
    let (session, store) = open(server.imported_through(&proxy.address)).await;
    let token = session.token().await.unwrap();
    let stored = store.read(None).unwrap().unwrap();
    assert_eq!(stored.refresh_token().unwrap().expose(), "rt-1", "cut at {cut}");
    assert_eq!(stored.tokens.unwrap().access_token.unwrap().secret.expose(), token.expose());
    assert!(!server.model().two_keys);
    assert_eq!(
        server.model().refreshes,
        2,
        "cut at {cut}: the answer was not taken, and was asked for again"
    );
}

#[tokio::test]
async fn captive_portals_redirects_and_busy_servers_are_outlived() {
    let server = FakeServer::start(600).await;
    server.fault(answer(200, "text/html", "<html>Welcome to the station"));
    server.fault(answer(200, "application/json", "{\"access_token\":\"stolen\",\"token_ty"));
    server.fault(Fault::Answer {
        status: 302,
        content_type: "text/html",
        extra: vec![("location", format!("{}/api", server.address))],
        body: String::new(),
    });
    server.fault(answer(403, "text/html", "blocked"));
    let (session, _) = open(server.imported()).await;
    let token = session.token().await.unwrap();
    assert_eq!(token.expose(), "at-1");
    assert!(server.model().api_bodies.is_empty(), "the redirect was not followed");
    assert_eq!(server.model().refreshes, 5);
}

#[tokio::test]
async fn busy_server_is_left_alone_as_long_as_it_asks() {
    for status in [503, 429] {
        let server = FakeServer::start(600).await;
        let error = if status == 503 { "temporarily_unavailable" } else { "slow_down" };
        server.fault(Fault::Answer {
            status,
            content_type: "application/json",
            extra: vec![("retry-after", "1".to_owned())],
            body: format!("{{\"error\":\"{error}\",\"retryable\":true,\"action\":\"retry\"}}"),
        });
        let (session, _) = open(server.imported()).await;
        let asked = std::time::Instant::now();
        session.token().await.unwrap();
        assert!(asked.elapsed() >= Duration::from_secs(1));
        assert_eq!(server.model().refreshes, 2);
    }
}

#[tokio::test]
async fn caller_gets_a_retriable_error_at_its_deadline_and_never_hangs() {
    let server = FakeServer::start(600).await;
    let gone = server.imported_through("http://127.0.0.1:1");
    let (session, _) = open(gone).await;
    let error = session.token_within(Duration::ZERO, Duration::from_secs(2)).await.unwrap_err();
    assert!(error.is_retriable());
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    assert_eq!(session.state().borrow().phase, Phase::ExpiredRetrying);
}

#[tokio::test]
async fn invalid_grant_signs_out_once_and_says_why() {
    let server = FakeServer::start(600).await;
    server.fault(answer(
        400,
        "application/json",
        "{\"error\":\"invalid_grant\",\"error_description\":\"You signed out on another device.\",\
         \"retryable\":false,\"action\":\"reauthenticate\",\"reason\":\"revoked\"}",
    ));
    let (session, store) = open(server.imported()).await;
    let error = session.token().await.unwrap_err();
    assert!(error.is_signed_out());
    assert_eq!(error.to_string(), "signed out: You signed out on another device; run `perennial login`");
    let mut states = session.state();
    states.wait_for(|state| state.phase == Phase::SignedOut).await.unwrap();
    assert_eq!(session.token().await.unwrap_err(), error);
    assert_eq!(server.model().refreshes, 1);
    let stored = store.read(None).unwrap().unwrap();
    assert_eq!(stored.set_aside[0].tokens.refresh_token.as_ref().unwrap().expose(), "rt-0");
}

#[tokio::test]
async fn api_that_refuses_a_token_gets_one_other_and_the_same_body() {
    let server = FakeServer::start(600).await;
    let (session, _) = open(server.imported()).await;
    session.token().await.unwrap();
    server.model().api_refuses.insert("at-1".to_owned());
    let request = session.client().post(format!("{}/api", server.address)).body("work");
    let response = session.send(request).await.unwrap();
    assert_eq!(response.text().await.unwrap(), "at-2");
    assert_eq!(server.model().api_bodies, ["work", "work"]);
    assert_eq!(server.model().refreshes, 2);
}

#[tokio::test]
async fn api_that_refuses_fresh_tokens_causes_no_loop() {
    let server = FakeServer::start(600).await;
    server.model().api_refuses_all = true;
    let (session, _) = open(server.imported()).await;
    for _ in 0..10 {
        let request = session.client().get(format!("{}/api", server.address));
        assert_eq!(session.send(request).await.unwrap().status(), 401);
    }
    assert_eq!(server.model().refreshes, 2);
    let trouble = session.state().borrow().trouble.clone();
    assert_eq!(trouble, Some(Trouble::ApiRefusesFreshToken));
    assert_eq!(session.token().await.unwrap().expose(), "at-2");
}

#[tokio::test]
async fn token_is_renewed_in_the_background_before_it_expires() {
    let server = FakeServer::start(2).await;
    let (session, _) = open(server.imported()).await;
    session.token().await.unwrap();
    let mut states = session.state();
    for _ in 0..3 {
        let known = states.borrow_and_update().expires_at;
        states.wait_for(|state| state.expires_at > known).await.unwrap();
    }
    assert!(server.model().refreshes >= 4);
}

#[tokio::test]
async fn dropped_callers_leave_nothing_behind() {
    let server = FakeServer::start(600).await;
    let (session, _) = open(server.imported()).await;
    for _ in 0..50 {
        drop(tokio::time::timeout(Duration::ZERO, session.token()).await);
    }
    assert_eq!(session.token().await.unwrap().expose(), "at-1");
}

#[tokio::test]
async fn two_sessions_on_one_file_refresh_once() {
    let server = FakeServer::start(600).await;
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::at(folder.path().join("default.json"));
    let lock = store.lock().unwrap();
    store.write(&lock, &server.imported()).unwrap();
    drop(lock);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let session = Session::open(Arc::new(store.clone()), SessionOptions::default()).await.unwrap();
        callers.spawn(async move { session.token().await.unwrap().expose().to_owned() });
    }
    let tokens = callers.join_all().await;
    assert!(tokens.iter().all(|token| token == "at-1"), "{tokens:?}");
    assert_eq!(server.model().refreshes, 1);
}

#[tokio::test]
async fn store_without_a_sign_in_says_so() {
    let store = Arc::new(MemoryStore::default());
    let session = Session::open(store, SessionOptions::default()).await.unwrap();
    assert_eq!(session.token().await.unwrap_err(), TokenError::Attend(Trouble::NeverSignedIn));
}

#[tokio::test]
async fn sign_in_by_another_process_is_noticed_by_a_signed_out_one() {
    let server = FakeServer::start(600).await;
    let store = MemoryStore::default();
    let session = Session::open(Arc::new(store.clone()), SessionOptions::default()).await.unwrap();
    let lock = store.lock().unwrap();
    store.write(&lock, &server.imported()).unwrap();
    drop(lock);
    assert_eq!(session.token().await.unwrap().expose(), "at-1");
}
