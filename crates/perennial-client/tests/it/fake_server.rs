//! A small authorization server and API over a real socket, with faults on request. Successors are derived as the
//! real server derives them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use perennial_client::{Credentials, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of the next token request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It is carried out, and its answer breaks off.
    AnswerLost,
    /// This is answered in its place.
    Answer { status: u16, content_type: &'static str, extra: Vec<(&'static str, String)>, body: String },
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) generation: u64,
    pub(crate) keys: HashMap<u64, String>,
    pub(crate) two_keys: bool,
    pub(crate) refreshes: usize,
    pub(crate) lifetime_s: u64,
    pub(crate) faults: VecDeque<Fault>,
    pub(crate) api_refuses: HashSet<String>,
    pub(crate) api_refuses_all: bool,
    pub(crate) api_bodies: Vec<String>,
    pub(crate) code: Option<HashMap<String, String>>,
    pub(crate) code_keys: Vec<String>,
    pub(crate) wrong_iss: bool,
    /// It does not know retry keys.
    pub(crate) is_foreign: bool,
    access_tokens: u64,
}

#[derive(Clone)]
pub(crate) struct FakeServer {
    pub(crate) address: String,
    pub(crate) model: Arc<Mutex<Model>>,
}

impl FakeServer {
    pub(crate) async fn start(lifetime_s: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let model = Arc::new(Mutex::new(Model { lifetime_s, ..Model::default() }));
        let server = Self { address, model };
        let router = Router::new()
            .route("/token", post(token))
            .route("/api", get(api).post(api))
            .route("/authorize", get(authorize))
            .route("/.well-known/openid-configuration", get(discovery))
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.model().faults.push_back(fault);
    }

    /// An imported refresh token of the first generation.
    pub(crate) fn imported(&self) -> Credentials {
        self.imported_through(&self.address)
    }

    pub(crate) fn imported_through(&self, address: &str) -> Credentials {
        let token_endpoint = format!("{address}/token");
        Credentials::from_refresh_token(&self.address, "app", &token_endpoint, Secret::from("rt-0"))
            .welcoming_retry_keys()
    }
}

fn json(status: u16, body: &serde_json::Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

async fn token(State(server): State<FakeServer>, headers: HeaderMap, body: Bytes) -> Response {
    let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap().trim_matches('"').to_owned());
    let fault = server.model().faults.pop_front();
    if let Some(Fault::Answer { status, content_type, extra, body }) = fault {
        let mut response = Response::builder().status(status).header(header::CONTENT_TYPE, content_type);
        for (name, value) in extra {
            response = response.header(name, value);
        }
        server.model().refreshes += 1;
        return response.body(Body::from(body)).unwrap();
    }
    let answer = match form["grant_type"].as_str() {
        "refresh_token" => refresh(&mut server.model(), &form, key),
        "authorization_code" => redeem(&server, &form, key),
        "client_credentials" => client_credentials(&headers),
        other => panic!("unexpected grant {other}"),
    };
    if fault.is_some() {
        let broken = [Ok("{\"access_token\":"), Err(std::io::Error::other("cut"))];
        let stream = Body::from_stream(futures_stream(broken));
        return ([(header::CONTENT_TYPE, "application/json")], stream).into_response();
    }
    answer
}

fn futures_stream<T: Send + 'static>(
    items: impl IntoIterator<Item = T> + Send + 'static,
) -> impl futures_util::Stream<Item = T> + Send + 'static
where
{
    futures_util::stream::iter(items.into_iter().collect::<Vec<_>>())
}

fn refresh(model: &mut Model, form: &HashMap<String, String>, key: Option<String>) -> Response {
    model.refreshes += 1;
    let presented: u64 = form["refresh_token"].trim_start_matches("rt-").parse().unwrap();
    let key = key.unwrap_or_default();
    let first = model.keys.entry(presented).or_insert_with(|| key.clone()).clone();
    if first != key {
        model.two_keys = true;
        return json(400, &serde_json::json!({ "error": "invalid_grant", "retryable": false }));
    }
    if presented == model.generation {
        model.generation += 1;
    } else if presented + 1 < model.generation {
        let stale = serde_json::json!({ "error": "conflict", "retryable": true, "reason": "superseded",
            "action": "reload_credentials" });
        return json(409, &stale);
    }
    issue(model, presented + 1, None)
}

fn issue(model: &mut Model, generation: u64, id_token: Option<String>) -> Response {
    model.access_tokens += 1;
    let mut body = serde_json::json!({ "access_token": format!("at-{}", model.access_tokens),
        "refresh_token": format!("rt-{generation}"), "expires_in": model.lifetime_s, "token_type": "Bearer",
        "scope": "openid profile",
        "session": { "id": "s-1", "state": "active", "continuity": "c-1", "advice": "fetch" } });
    if let Some(id_token) = id_token {
        body["id_token"] = id_token.into();
    }
    json(200, &body)
}

fn redeem(server: &FakeServer, form: &HashMap<String, String>, key: Option<String>) -> Response {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use sha2::Digest as _;
    let mut model = server.model();
    let asked = model.code.clone().expect("an authorization request");
    let challenge = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(form["code_verifier"].as_bytes()));
    assert_eq!(asked["code_challenge"], challenge);
    assert_eq!(asked["redirect_uri"], form["redirect_uri"]);
    model.code_keys.extend(key);
    let claims = serde_json::json!({ "iss": server.address, "aud": "demo-cli", "nonce": asked["nonce"] });
    let id_token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
    model.generation = model.generation.max(1);
    issue(&mut model, 1, Some(id_token))
}

fn client_credentials(headers: &HeaderMap) -> Response {
    // demo-service:demo-service-secret
    if headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok())
        != Some("Basic ZGVtby1zZXJ2aWNlOmRlbW8tc2VydmljZS1zZWNyZXQ=")
    {
        return json(401, &serde_json::json!({ "error": "invalid_client" }));
    }
    json(200, &serde_json::json!({ "access_token": "at-service", "token_type": "Bearer", "expires_in": 300 }))
}

async fn discovery(State(server): State<FakeServer>) -> Response {
    let address = &server.address;
    json(
        200,
        &serde_json::json!({ "issuer": address, "authorization_endpoint": format!("{address}/authorize"),
            "token_endpoint": format!("{address}/token"), "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true, "perennial_retry_key_supported": !server.model().is_foreign }),
    )
}

/// Signs in whoever asks, as a browser with a session would be.
async fn authorize(
    State(server): State<FakeServer>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let mut back = url::Url::parse(&query["redirect_uri"]).unwrap();
    let mut model = server.model();
    let iss = if model.wrong_iss { "https://evil.example" } else { server.address.as_str() };
    back.query_pairs_mut()
        .append_pair("code", "the-code")
        .append_pair("state", &query["state"])
        .append_pair("iss", iss);
    model.code = Some(query);
    (StatusCode::SEE_OTHER, [(header::LOCATION, back.to_string())]).into_response()
}

async fn api(State(server): State<FakeServer>, headers: HeaderMap, body: String) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = bearer.trim_start_matches("Bearer ").to_owned();
    let mut model = server.model();
    model.api_bodies.push(body);
    if model.api_refuses_all || model.api_refuses.contains(&token) {
        let challenge = "Bearer realm=\"api\", error=\"invalid_token\"";
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response();
    }
    token.into_response()
}

/// A proxy that passes requests on whole and lets only so many bytes of the next answers through.
pub(crate) struct CuttingProxy {
    pub(crate) address: String,
    /// How many bytes to let through, one entry a connection; none: all.
    pub(crate) cuts: Arc<Mutex<VecDeque<usize>>>,
    /// The bytes of the longest answer seen.
    pub(crate) longest: Arc<AtomicUsize>,
}

impl CuttingProxy {
    pub(crate) async fn before(server: &FakeServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let upstream = server.address.trim_start_matches("http://").to_owned();
        let (cuts, longest) = (Arc::<Mutex<VecDeque<usize>>>::default(), Arc::<AtomicUsize>::default());
        let (proxied_cuts, proxied_longest) = (cuts.clone(), longest.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let cut = proxied_cuts.lock().unwrap().pop_front();
                tokio::spawn(pass_on(stream, upstream.clone(), cut, proxied_longest.clone()));
            }
        });
        Self { address, cuts, longest }
    }
}

async fn pass_on(mut client: TcpStream, upstream: String, cut: Option<usize>, longest: Arc<AtomicUsize>) {
    let mut server = TcpStream::connect(upstream).await.unwrap();
    let (mut request, mut answer) = (vec![0; 65_536], vec![0; 65_536]);
    let mut passed = 0;
    loop {
        tokio::select! {
            read = client.read(&mut request) => match read {
                Ok(0) | Err(_) => return,
                Ok(count) => server.write_all(&request[..count]).await.unwrap(),
            },
            read = server.read(&mut answer) => match read {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    let room = cut.map_or(count, |cut| count.min(cut - passed));
                    passed += room;
                    // Counted first: who has received it may look at once.
                    longest.fetch_max(passed, Ordering::Relaxed);
                    client.write_all(&answer[..room]).await.unwrap();
                    if room < count {
                        return;
                    }
                }
            },
        }
    }
}
