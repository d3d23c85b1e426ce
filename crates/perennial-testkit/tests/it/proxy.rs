//! Each fault of the proxy, against a real server that counts what reaches it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use perennial_testkit::Seed;
use perennial_testkit::proxy::{
    Chances, Counts, Cut, Exchange, Fault, FaultyProxy, Gate, Happened, OwnAnswer, Script, script,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The bodies that reached the server, in order.
type Seen = Arc<Mutex<Vec<String>>>;

async fn echo(State(seen): State<Seen>, uri: Uri, body: String) -> Response {
    seen.lock().unwrap().push(body.clone());
    match uri.path() {
        "/chunked" => {
            let parts = body
                .into_bytes()
                .chunks(3)
                .map(|part| Ok::<_, std::io::Error>(part.to_vec()))
                .collect::<Vec<_>>();
            axum::body::Body::from_stream(futures_util::stream::iter(parts)).into_response()
        }
        "/empty" => StatusCode::NO_CONTENT.into_response(),
        "/same" => StatusCode::NOT_MODIFIED.into_response(),
        _ => format!("{} {body}", uri.path()).into_response(),
    }
}

struct World {
    proxy: FaultyProxy,
    server: SocketAddr,
    seen: Seen,
    http: reqwest::Client,
}

impl World {
    async fn with(script: impl Script) -> Self {
        Self::seeded(Seed::announce(), script).await
    }

    async fn seeded(seed: Seed, script: impl Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let seen = Seen::default();
        let app = Router::new().fallback(echo).with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let proxy = FaultyProxy::before(server, seed, script).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { proxy, server, seen, http }
    }

    async fn post(&self, path: &str, body: &str) -> reqwest::Result<String> {
        let url = format!("http://{}{path}", self.proxy.address());
        self.http.post(url).body(body.to_owned()).send().await?.text().await
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.expect("within half a minute")
}

#[tokio::test]
async fn without_faults_every_kind_of_body_passes_on_one_connection() {
    let world = World::with(script::pass()).await;
    let mut events = world.proxy.events();
    assert_eq!(world.post("/a", "one").await.unwrap(), "/a one");
    assert_eq!(world.post("/chunked", "in several chunks").await.unwrap(), "in several chunks");
    assert_eq!(world.post("/empty", "two").await.unwrap(), "");
    assert_eq!(world.post("/same", "three").await.unwrap(), "");
    let head = world.http.head(format!("http://{}/head", world.proxy.address())).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(world.post("/long", &"x".repeat(1_000_000)).await.unwrap().len(), 1_000_006);

    let parts = ["a stream ", "of unknown ", "length"].map(Ok::<_, std::io::Error>);
    let body = reqwest::Body::wrap(http_body_util::StreamBody::new(futures_util::stream::iter(
        parts.map(|part| part.map(|part| http_body::Frame::data(bytes::Bytes::from(part)))),
    )));
    let answer =
        world.http.post(format!("http://{}/s", world.proxy.address())).body(body).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "/s a stream of unknown length");

    let counts = world.proxy.counts();
    assert_eq!(counts, Counts { requests: 7, answered: 7, delivered: 7, ..Counts::default() });
    while let Ok(event) = events.try_recv() {
        assert_eq!(event.exchange.connection, 1, "kept alive");
        if event.exchange.path == "/s" {
            assert_eq!(event.exchange.body_text(), "a stream of unknown length", "unframed");
        }
    }
}

#[tokio::test]
async fn a_lost_request_never_reaches_the_server() {
    let world = World::with(script::list([Fault::LoseRequest])).await;
    assert!(world.post("/token", "lost").await.is_err());
    assert_eq!(world.post("/token", "kept").await.unwrap(), "/token kept");
    assert_eq!(world.seen(), ["kept"]);
    assert_eq!(world.proxy.counts().requests_lost, 1);
}

#[tokio::test]
async fn a_lost_answer_was_answered_fully() {
    let world = World::with(script::list([Fault::LoseAnswer])).await;
    assert!(world.post("/token", "a").await.is_err());
    let counts = world.proxy.counts();
    assert_eq!((counts.answered, counts.answers_lost, counts.delivered), (1, 1, 0));
    assert_eq!(world.seen(), ["a"]);
}

#[tokio::test]
async fn a_lost_answer_is_a_reset_and_not_an_end() {
    let world = World::with(script::list([Fault::LoseAnswer])).await;
    let mut raw = TcpStream::connect(world.proxy.address()).await.unwrap();
    raw.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let error = raw.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_answer_is_cut_at_exactly_every_byte() {
    const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let world = World::with(script::pass()).await;
    let mut whole = Vec::new();
    let mut raw = TcpStream::connect(world.proxy.address()).await.unwrap();
    raw.write_all(REQUEST).await.unwrap();
    raw.read_to_end(&mut whole).await.unwrap();

    for at in 0..=whole.len() {
        world.proxy.set_script(script::list([Fault::CutAnswer(Cut::Byte(at))]));
        let mut raw = TcpStream::connect(world.proxy.address()).await.unwrap();
        raw.write_all(REQUEST).await.unwrap();
        let mut part = Vec::new();
        raw.read_to_end(&mut part).await.unwrap();
        assert_eq!(part.len(), at);
    }
    soon(world.proxy.reached(|counts| counts.answers_cut == whole.len() as u64 + 1)).await;
}

#[tokio::test]
async fn held_requests_are_delivered_in_the_order_of_their_gates() {
    let (first, second) = (Gate::new(), Gate::new());
    let world =
        World::with(script::list([Fault::HoldRequest(first.clone()), Fault::HoldRequest(second.clone())]))
            .await;
    let deliver_backwards = async {
        soon(first.arrived(1)).await;
        let late = world.post("/", "sent second");
        let open = async {
            soon(second.arrived(1)).await;
            second.open();
            soon(world.proxy.reached(|counts| counts.delivered == 1)).await;
            first.open();
        };
        tokio::join!(late, open).0
    };
    let (a, b) = tokio::join!(world.post("/", "sent first"), deliver_backwards);
    assert_eq!((a.unwrap().as_str(), b.unwrap().as_str()), ("/ sent first", "/ sent second"));
    assert_eq!(world.seen(), ["sent second", "sent first"]);
}

#[tokio::test]
async fn a_held_request_arrives_though_its_client_has_gone() {
    let gate = Gate::new();
    let world = World::with(script::list([Fault::HoldRequest(gate.clone())])).await;
    tokio::select! {
        _ = world.post("/", "late") => panic!("nothing answers before the gate opens"),
        () = soon(gate.arrived(1)) => {}
    }
    assert_eq!(world.seen(), Vec::<String>::new());
    gate.open();
    soon(world.proxy.reached(|counts| counts.answered == 1)).await;
    assert_eq!(world.seen(), ["late"]);
}

#[tokio::test]
async fn a_held_answer_comes_when_its_gate_opens() {
    let gate = Gate::new();
    let world = World::with(script::list([Fault::HoldAnswer(gate.clone())])).await;
    let open = async {
        soon(gate.arrived(1)).await;
        assert_eq!(world.proxy.counts(), Counts { requests: 1, answered: 1, held: 1, ..Counts::default() });
        gate.open();
    };
    let (answer, ()) = tokio::join!(world.post("/", "a"), open);
    assert_eq!(answer.unwrap(), "/ a");
}

#[tokio::test]
async fn a_gate_shared_by_many_is_a_barrier() {
    let gate = Gate::new();
    let all = gate.clone();
    let world = World::with(move |_: &Exchange, _: &mut _| Fault::HoldRequest(all.clone())).await;
    let posts = futures_util::future::join_all((0..24).map(|_| world.post("/", "sibling")));
    let open = async {
        soon(gate.arrived(24)).await;
        assert_eq!(world.seen().len(), 0);
        gate.open();
    };
    let (answers, ()) = tokio::join!(posts, open);
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(world.seen().len(), 24);
}

#[tokio::test]
async fn a_duplicate_reaches_the_server_twice_and_is_answered_once() {
    let world = World::with(script::list([Fault::Duplicate])).await;
    assert_eq!(world.post("/", "twice").await.unwrap(), "/ twice");
    assert_eq!(world.seen(), ["twice", "twice"]);
    let counts = world.proxy.counts();
    assert_eq!((counts.requests, counts.duplicated, counts.delivered), (1, 1, 1));
}

#[tokio::test]
async fn a_repeat_reaches_the_server_again_when_its_gate_opens() {
    let gate = Gate::new();
    let world = World::with(script::list([Fault::Repeat(gate.clone())])).await;
    assert_eq!(world.post("/", "a").await.unwrap(), "/ a");
    assert_eq!(world.post("/", "b").await.unwrap(), "/ b");
    gate.open();
    soon(world.proxy.reached(|counts| counts.duplicated == 1)).await;
    assert_eq!(world.seen(), ["a", "b", "a"]);
}

#[tokio::test]
async fn a_captive_portal_answers_in_the_server_s_place() {
    let world = World::with(script::list([
        Fault::Answer(OwnAnswer::captive_portal()),
        Fault::Answer(OwnAnswer::unavailable().header("retry-after", "1")),
    ]))
    .await;
    let url = format!("http://{}/token", world.proxy.address());
    let portal = world.http.post(&url).send().await.unwrap();
    assert_eq!(portal.status(), 200);
    assert!(portal.text().await.unwrap().contains("<!doctype html>"));
    let away = world.http.post(&url).send().await.unwrap();
    assert_eq!(
        (away.status(), away.headers()["retry-after"].as_bytes()),
        (StatusCode::SERVICE_UNAVAILABLE, &b"1"[..])
    );
    assert_eq!((world.seen().len(), world.proxy.counts().made_up), (0, 2));
}

#[tokio::test]
async fn a_script_for_one_path_leaves_the_others_alone() {
    let world = World::with(script::only("/token", script::every(2, Fault::LoseRequest))).await;
    let mut fates = Vec::new();
    for path in ["/token", "/jwks", "/token?x=1", "/jwks", "/token"] {
        fates.push(world.post(path, "").await.is_ok());
    }
    assert_eq!(fates, [true, true, false, true, true]);
}

#[tokio::test]
async fn while_it_is_down_connections_are_refused_and_the_port_is_kept() {
    let world = World::with(script::pass()).await;
    assert!(world.post("/", "a").await.is_ok());
    world.proxy.go_down().await;
    world.proxy.go_down().await;
    let refused = TcpStream::connect(world.proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(world.post("/", "b").await.unwrap_err().is_connect());
    world.proxy.come_back().await;
    assert_eq!(world.post("/", "c").await.unwrap(), "/ c");
    assert_eq!(world.seen(), ["a", "c"]);
}

#[tokio::test]
async fn a_server_that_is_away_is_told_apart_from_a_lost_answer() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let world = World::with(script::pass()).await;
    world.proxy.point_at(nobody);
    assert!(world.post("/", "a").await.is_err());
    assert_eq!(world.proxy.counts(), Counts { requests: 1, server_away: 1, ..Counts::default() });
    world.proxy.point_at(world.server);
    assert!(world.post("/", "b").await.is_ok());
}

#[tokio::test]
async fn when_the_server_closes_an_idle_connection_the_client_sees_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    let proxy = FaultyProxy::before(upstream, Seed(1), script::pass()).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    server.read_exact(&mut [0; 18]).await.unwrap();
    server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    client.read_exact(&mut [0; 40]).await.unwrap();
    drop(server);
    assert_eq!(soon(client.read(&mut [0; 1])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_to_continue() {
    let world = World::with(script::pass()).await;
    let mut client = TcpStream::connect(world.proxy.address()).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 4\r\nconnection: close\r\n\r\n";
    client.write_all(head).await.unwrap();
    client.read_exact(&mut [0; 25]).await.unwrap();
    client.write_all(b"body").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("/ body"), "{answer}");
}

#[tokio::test]
async fn the_same_seed_brings_the_same_faults() {
    async fn fates(seed: Seed) -> Vec<Happened> {
        let chances = Chances {
            lose_request: 20,
            lose_answer: 20,
            cut_answer: 20,
            duplicate: 20,
            ..Chances::default()
        };
        let world = World::seeded(seed, chances).await;
        let mut events = world.proxy.events();
        for _ in 0..40 {
            drop(world.post("/", "x").await);
        }
        std::iter::from_fn(|| events.try_recv().ok()).map(|event| event.happened).collect()
    }
    // A given seed, so that every kind of fault is known to be among so few exchanges.
    let seed = Seed(7);
    let first = fates(seed).await;
    assert_eq!(first, fates(seed).await);
    for kind in [Happened::RequestLost, Happened::AnswerLost, Happened::Duplicated] {
        assert!(first.contains(&kind), "{kind:?} never happened in 40 exchanges");
    }
}
