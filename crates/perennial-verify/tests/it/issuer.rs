//! A fake issuer on a real socket: what it answers can be changed at any time, and what is asked is counted.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, LOCATION};
use http::{Response, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::signer::Signer;

/// What an address answers.
#[derive(Clone)]
pub(crate) enum Answer {
    Json(Value),
    JsonFor {
        body: Value,
        cache_control: &'static str,
    },
    Html,
    Status(u16),
    Redirect(String),
    /// Good JSON, and spaces after it up to this length.
    Padded {
        body: Value,
        length: usize,
    },
    /// Takes the request and says nothing.
    Silence,
}

pub(crate) struct Issuer {
    pub(crate) identifier: String,
    shared: Arc<Shared>,
    server: AbortHandle,
}

struct Shared {
    answers: Mutex<Vec<(String, Answer)>>,
    key_fetches: watch::Sender<u64>,
}

const PORTAL: &str = "<!doctype html><title>Welcome to the station's network</title><p>Accept the terms";

impl Issuer {
    /// An issuer at the root with RFC 8414 metadata and these keys.
    pub(crate) async fn start(signers: &[&Signer]) -> Self {
        let issuer = Self::bare("").await;
        issuer.set("/.well-known/oauth-authorization-server", Answer::Json(issuer.metadata()));
        issuer.publish(signers);
        issuer
    }

    /// An issuer that answers 404 to everything, whose identifier has a path.
    pub(crate) async fn bare(path: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let identifier = format!("http://{}{path}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { answers: Mutex::default(), key_fetches: watch::Sender::new(0) });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }).abort_handle();
        Self { identifier, shared, server }
    }

    pub(crate) fn metadata(&self) -> Value {
        json!({ "issuer": self.identifier, "jwks_uri": self.at("/jwks") })
    }

    /// An address on this issuer's host.
    pub(crate) fn at(&self, path: &str) -> String {
        let root = self.identifier.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        format!("{root}{path}")
    }

    pub(crate) fn set(&self, path: &str, answer: Answer) {
        let mut answers = self.shared.answers.lock().unwrap();
        answers.retain(|(known, _)| known != path);
        answers.push((path.to_owned(), answer));
    }

    pub(crate) fn publish(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
        self.set("/jwks", Answer::Json(json!({ "keys": keys })));
    }

    /// How often the key set was asked for.
    pub(crate) fn key_fetches(&self) -> u64 {
        *self.shared.key_fetches.borrow()
    }

    /// Waits until the key set has been asked for this often.
    pub(crate) async fn fetched(&self, times: u64) {
        self.shared.key_fetches.subscribe().wait_for(|count| *count >= times).await.unwrap();
    }

    /// The issuer is gone: connections are refused from here on.
    pub(crate) async fn go_away(&self) {
        self.server.abort();
        let address = self.identifier.trim_start_matches("http://").to_owned();
        while tokio::net::TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri) -> Response<Body> {
    if uri.path() == "/jwks" {
        shared.key_fetches.send_modify(|count| *count += 1);
    }
    let found = {
        let answers = shared.answers.lock().unwrap();
        answers.iter().find(|(path, _)| path == uri.path()).map(|(_, answer)| answer.clone())
    };
    // Closed after each answer, so that an issuer that goes away is away for clients with a pool, too.
    let response = Response::builder().header(CONNECTION, "close");
    match found {
        Some(Answer::Json(body)) => {
            response.header(CONTENT_TYPE, "application/json").body(Body::from(body.to_string()))
        }
        Some(Answer::JsonFor { body, cache_control }) => {
            response.header(CACHE_CONTROL, cache_control).body(Body::from(body.to_string()))
        }
        Some(Answer::Html) => response.header(CONTENT_TYPE, "text/html").body(Body::from(PORTAL)),
        Some(Answer::Status(status)) => response.status(status).body(Body::empty()),
        Some(Answer::Redirect(to)) => {
            response.status(StatusCode::FOUND).header(LOCATION, to).body(Body::empty())
        }
        Some(Answer::Padded { body, length }) => {
            response.body(Body::from(format!("{:<length$}", body.to_string())))
        }
        Some(Answer::Silence) => std::future::pending().await,
        None => response.status(StatusCode::NOT_FOUND).body(Body::empty()),
    }
    .unwrap()
}
