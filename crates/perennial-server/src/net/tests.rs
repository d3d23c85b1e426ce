//! The edge over real sockets: limits, time limits, panics, proxies, shutdown, TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use super::edge::Edge;
use super::forwarded::Proxies;
use super::listen::Listener;
use super::tls::Tls;
use crate::config::{Limits, ProxyHeader, TlsFiles};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);

/// A server of a few routes that misbehave on purpose.
struct Server {
    addr: SocketAddr,
    /// A request to `/slow` has arrived.
    arrived: Arc<Semaphore>,
    /// `/slow` may answer.
    gate: Arc<Semaphore>,
    /// `/slow` has come to its end.
    finished: Arc<Semaphore>,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

fn generous() -> Limits {
    Limits {
        max_connections: 16,
        max_requests: 16,
        header_read_timeout: LONG,
        body_read_timeout: LONG,
        request_timeout: LONG,
        keep_alive_idle: LONG,
        ..Limits::default()
    }
}

async fn serve(limits: Limits) -> Server {
    serve_with(limits, None, Proxies::default()).await
}

async fn serve_with(limits: Limits, tls: Option<Arc<Tls>>, proxies: Proxies) -> Server {
    let [arrived, gate, finished] = std::array::from_fn(|_| Arc::new(Semaphore::new(0)));
    let slow = {
        let (arrived, gate, finished) = (Arc::clone(&arrived), Arc::clone(&gate), Arc::clone(&finished));
        move || async move {
            arrived.add_permits(1);
            gate.acquire().await.unwrap().forget();
            finished.add_permits(1);
            "slow"
        }
    };
    let router = Router::new()
        .route("/healthz", get(|| async { "alive" }))
        .route("/echo", post(|body: String| async { body }))
        .route(
            "/who",
            get(
                |caller: axum::Extension<Caller>| async move { format!("{} {}", caller.addr, caller.secure) },
            ),
        )
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("on purpose")
                }
            }),
        )
        .route("/slow", get(slow));
    let edge = Edge::new(router, "https://id.example".into(), limits, proxies).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    let stop = CancellationToken::new();
    let served = tokio::spawn(Listener::new(socket, tls, Arc::new(edge)).serve(stop.clone()));
    Server { addr, arrived, gate, finished, stop, served }
}

/// An answer, read off the wire.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(own, _)| *own == name)
            .map(|(_, v)| v)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Reads one answer; `None` where the connection ends without one.
async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> Option<Answer> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer { status, head, body: String::new() };
    let length: usize = answer.header("content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = bytes.split_off(head_end + 4);
    while body.len() < length {
        assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0, "the body broke off");
    }
    answer.body = String::from_utf8(body).unwrap();
    Some(answer)
}

async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> Option<Answer> {
    stream.write_all(request.as_bytes()).await.unwrap();
    read_answer(stream).await
}

fn get_request(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n")
}

async fn get_once(addr: SocketAddr, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    ask(&mut stream, &get_request(path, headers)).await.unwrap()
}

#[tokio::test]
async fn half_a_header_is_cut_off_in_time() {
    let server = serve(Limits { header_read_timeout: SHORT, ..generous() }).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    assert!(ask(&mut stream, "GET /healthz HTTP/1.1\r\nhost:").await.is_none());
}

#[tokio::test]
async fn a_silent_connection_is_closed_in_time_whether_it_has_asked_or_not() {
    let limits = Limits { header_read_timeout: SHORT, keep_alive_idle: SHORT, ..generous() };
    let server = serve(limits).await;
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    assert!(read_answer(&mut silent).await.is_none());
    let mut idle = TcpStream::connect(server.addr).await.unwrap();
    assert_eq!(ask(&mut idle, &get_request("/healthz", "")).await.unwrap().status, 200);
    assert!(read_answer(&mut idle).await.is_none());
}

#[tokio::test]
async fn an_idle_connection_may_stand_longer_than_a_header_may_take() {
    let server = serve(Limits { header_read_timeout: SHORT, ..generous() }).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    assert_eq!(ask(&mut stream, &get_request("/healthz", "")).await.unwrap().status, 200);
    // Another connection runs into the limit in the meantime.
    let mut other = TcpStream::connect(server.addr).await.unwrap();
    assert!(ask(&mut other, "GET /healthz HTTP/1.1\r\nhost:").await.is_none());
    assert_eq!(ask(&mut stream, &get_request("/healthz", "")).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_oversized_header_is_refused() {
    let server = serve(Limits { max_header_size: 8 * 1024, ..generous() }).await;
    let answer = get_once(server.addr, "/healthz", &format!("x-long: {}\r\n", "x".repeat(9 * 1024))).await;
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn an_oversized_body_is_refused_announced_or_not() {
    let server = serve(Limits { max_body_size: 1024, ..generous() }).await;
    let announced = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1025\r\n\r\n".to_owned();
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n401\r\n{}\r\n0\r\n\r\n",
        "x".repeat(1025)
    );
    for request in [announced, chunked] {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        let answer = ask(&mut stream, &request).await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
        assert_eq!(answer.json()["reason"], "large_body");
        assert_eq!(answer.json()["retryable"], false);
    }
}

#[tokio::test]
async fn a_slow_body_gets_408_and_nothing_was_done() {
    let server = serve(Limits { body_read_timeout: SHORT, ..generous() }).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let request = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf";
    let answer = ask(&mut stream, request).await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    assert_eq!(answer.json()["retryable"], true);
}

#[tokio::test]
async fn over_the_limit_on_connections_only_health_is_answered() {
    let server = serve(Limits { max_connections: 1, ..generous() }).await;
    let mut first = TcpStream::connect(server.addr).await.unwrap();
    assert_eq!(ask(&mut first, &get_request("/who", "")).await.unwrap().status, 200);
    let refused = get_once(server.addr, "/who", "").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.json()["error"], "temporarily_unavailable");
    assert_eq!(refused.header("connection"), Some("close"));
    assert_eq!(get_once(server.addr, "/healthz", "").await.status, 200);
    assert_eq!(ask(&mut first, &get_request("/who", "")).await.unwrap().status, 200);
}

#[tokio::test]
async fn over_the_limit_on_requests_only_health_is_answered() {
    let server = serve(Limits { max_requests: 1, ..generous() }).await;
    let mut slow = TcpStream::connect(server.addr).await.unwrap();
    slow.write_all(get_request("/slow", "").as_bytes()).await.unwrap();
    server.arrived.acquire().await.unwrap().forget();
    let refused = get_once(server.addr, "/who", "").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(get_once(server.addr, "/healthz", "").await.status, 200);
    server.gate.add_permits(1);
    assert_eq!(read_answer(&mut slow).await.unwrap().status, 200);
    assert_eq!(get_once(server.addr, "/who", "").await.status, 200);
}

#[tokio::test]
async fn a_panic_is_500_with_the_request_id_and_the_connection_lives() {
    let server = serve(generous()).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let answer = ask(&mut stream, &get_request("/panic", "")).await.unwrap();
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["request_id"], answer.header("x-request-id").unwrap());
    assert_eq!(answer.json()["error"], "server_error");
    assert_eq!(ask(&mut stream, &get_request("/healthz", "")).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_503_and_its_work_comes_to_its_end() {
    let server = serve(Limits { request_timeout: SHORT, ..generous() }).await;
    let answer = get_once(server.addr, "/slow", "").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    assert_eq!(answer.json()["retryable"], true);
    server.gate.add_permits(1);
    server.finished.acquire().await.unwrap().forget();
}

#[tokio::test]
async fn work_comes_to_its_end_when_the_client_hangs_up() {
    let server = serve(generous()).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(get_request("/slow", "").as_bytes()).await.unwrap();
    server.arrived.acquire().await.unwrap().forget();
    drop(stream);
    server.gate.add_permits(1);
    server.finished.acquire().await.unwrap().forget();
}

#[tokio::test]
async fn only_a_trusted_proxy_says_who_is_asking() {
    let spoof = "x-forwarded-for: 6.6.6.6\r\nx-forwarded-proto: https\r\nx-request-id: theirs\r\n";
    let stranger = serve(generous()).await;
    let answer = get_once(stranger.addr, "/who", spoof).await;
    assert_eq!(answer.body, "127.0.0.1 false");
    assert_ne!(answer.header("x-request-id"), Some("theirs"));

    let networks = vec!["127.0.0.0/8".parse().unwrap()];
    let proxies = Proxies { networks, header: ProxyHeader::XForwarded };
    let trusted = serve_with(generous(), None, proxies).await;
    let answer = get_once(trusted.addr, "/who", spoof).await;
    assert_eq!(answer.body, "6.6.6.6 true");
    assert_eq!(answer.header("x-request-id"), Some("theirs"));
    let odd = get_once(trusted.addr, "/who", "x-request-id: <script>\r\n").await;
    assert_ne!(odd.header("x-request-id"), Some("<script>"));
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_work_and_accepts_nothing_more() {
    let server = serve(generous()).await;
    let mut idle = TcpStream::connect(server.addr).await.unwrap();
    assert_eq!(ask(&mut idle, &get_request("/healthz", "")).await.unwrap().status, 200);
    let mut slow = TcpStream::connect(server.addr).await.unwrap();
    slow.write_all(get_request("/slow", "").as_bytes()).await.unwrap();
    server.arrived.acquire().await.unwrap().forget();

    server.stop.cancel();
    assert!(read_answer(&mut idle).await.is_none(), "an idle connection is closed at once");
    assert!(TcpStream::connect(server.addr).await.is_err());
    assert!(!server.served.is_finished());
    server.gate.add_permits(1);
    let answer = read_answer(&mut slow).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "slow"));
    server.served.await.unwrap();
}

struct Certified {
    files: TlsFiles,
    root: rustls_pki_types::CertificateDer<'static>,
}

fn certify(folder: &std::path::Path) -> Certified {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    Certified { files, root: made.cert.der().clone() }
}

async fn connect_tls(
    addr: SocketAddr,
    root: &rustls_pki_types::CertificateDer<'static>,
    protocol: &[u8],
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(addr).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector.connect("localhost".try_into().unwrap(), stream).await
}

#[tokio::test]
async fn own_tls_speaks_both_versions_of_http_and_changes_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let old = certify(folder.path());
    let tls = Arc::new(Tls::load(&old.files).unwrap());
    let server = serve_with(generous(), Some(Arc::clone(&tls)), Proxies::default()).await;
    let mut stream = connect_tls(server.addr, &old.root, b"http/1.1").await.unwrap();
    assert_eq!(ask(&mut stream, &get_request("/who", "")).await.unwrap().body, "127.0.0.1 true");

    let stream = connect_tls(server.addr, &old.root, b"h2").await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://localhost/who").body(String::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));

    let new = certify(folder.path());
    assert!(connect_tls(server.addr, &new.root, b"h2").await.is_err());
    tls.change_to(Tls::prepare(&new.files).unwrap());
    connect_tls(server.addr, &new.root, b"h2").await.unwrap();
}

#[tokio::test]
async fn a_slow_tls_handshake_is_cut_off_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Arc::new(Tls::load(&certify(folder.path()).files).unwrap());
    let limits = Limits { header_read_timeout: SHORT, ..generous() };
    let server = serve_with(limits, Some(tls), Proxies::default()).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    assert!(read_answer(&mut stream).await.is_none());
}

#[test]
fn certificates_that_cannot_be_used_are_told_with_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let good = certify(folder.path()).files;
    let other = tempfile::tempdir().unwrap();
    let other_key = certify(other.path()).files.key;
    let told = |certificate: &std::path::Path, key: &std::path::Path| {
        let files = TlsFiles { certificate: certificate.to_owned(), key: key.to_owned() };
        Tls::prepare(&files).unwrap_err().to_string()
    };
    let missing = folder.path().join("missing.pem");
    assert!(told(&missing, &good.key).contains("missing.pem cannot be read"));
    assert!(told(&good.key, &good.key).contains("key.pem: no certificate in it"));
    assert!(told(&good.certificate, &good.certificate).contains("cert.pem: no private key in it"));
    assert!(told(&good.certificate, &other_key).contains("do not make a TLS server"));
}
