//! The other end of the redirect: a listener on 127.0.0.1 that takes one answer and shows a small page.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::LoginError;
use super::discovery::Discovered;
use crate::secret::Secret;

const HEADERS_WITHIN: Duration = Duration::from_secs(10);
const PAGE_DELIVERED_WITHIN: Duration = Duration::from_secs(1);
/// Browsers open a few; whoever opens more waits.
const CONNECTIONS_MAX: usize = 16;

/// A listener for the answer to one authorization request.
#[derive(Debug)]
pub(super) struct Loopback {
    listener: TcpListener,
    redirect_uri: String,
}

impl Loopback {
    pub(super) async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let redirect_uri = format!("http://127.0.0.1:{}/callback", listener.local_addr()?.port());
        Ok(Self { listener, redirect_uri })
    }

    /// RFC 8252, 7.3: the address by number, any port.
    pub(super) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Waits for the answer that carries this `state`; others are told off and change nothing.
    pub(super) async fn answer(self, state: &Secret) -> io::Result<(Answer, PageUnderWay)> {
        let (found, mut answers) = mpsc::channel(1);
        let mut connections = JoinSet::new();
        loop {
            let room = connections.len() < CONNECTIONS_MAX;
            tokio::select! {
                accepted = self.listener.accept(), if room => {
                    let (stream, _) = accepted?;
                    connections.spawn(serve(stream, state.clone(), found.clone()));
                }
                Some(answer) = answers.recv() => return Ok((answer, PageUnderWay(connections))),
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

/// The page that the browser is about to get. The process should not exit before.
pub(super) struct PageUnderWay(JoinSet<()>);

impl PageUnderWay {
    /// Waits until the page is delivered, or long enough.
    pub(super) async fn delivered(mut self) {
        let all = async { while self.0.join_next().await.is_some() {} };
        // Browsers keep spare connections open that will never carry anything.
        drop(tokio::time::timeout(PAGE_DELIVERED_WITHIN, all).await);
    }
}

/// An authorization response (RFC 6749, 4.1.2) whose `state` was right.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    code: Option<Secret>,
    error: Option<String>,
    description: Option<String>,
    iss: Option<String>,
}

impl Answer {
    /// The code, if the issuer that was asked granted one. RFC 9207, 2.4: `iss` is compared first.
    pub(super) fn code(self, discovered: &Discovered) -> Result<Secret, LoginError> {
        match self.iss {
            Some(iss) if iss != discovered.issuer => return Err(LoginError::MixUp(iss)),
            None if discovered.names_itself => return Err(LoginError::MixUp("an unnamed server".to_owned())),
            Some(_) | None => {}
        }
        let description = self.description;
        match (self.error, self.code) {
            (Some(error), _) => Err(LoginError::NotGranted { error, description }),
            (None, Some(code)) => Ok(code),
            (None, None) => {
                Err(LoginError::NotGranted { error: "an answer without a code".to_owned(), description })
            }
        }
    }
}

async fn serve(stream: TcpStream, state: Secret, found: mpsc::Sender<Answer>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let page = respond(&request, &state, &found);
        async move { Ok::<_, Infallible>(page) }
    });
    let mut server = http1::Builder::new();
    server.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to the loopback address failed");
    }
}

fn respond(
    request: &Request<Incoming>,
    state: &Secret,
    found: &mpsc::Sender<Answer>,
) -> Response<Full<Bytes>> {
    if request.uri().path() != "/callback" {
        return page(StatusCode::NOT_FOUND, "Nothing here", "This address only waits for a sign-in.");
    }
    if request.method() != Method::GET {
        return page(StatusCode::METHOD_NOT_ALLOWED, "Not like this", "The sign-in's answer comes by GET.");
    }
    let Some(answer) = parse(request.uri().query().unwrap_or_default(), state) else {
        let what = "This is not the sign-in that your terminal waits for. Use the address that it shows.";
        return page(StatusCode::BAD_REQUEST, "Another sign-in", what);
    };
    let granted = answer.error.is_none();
    // A second answer finds the first one there, or nobody; the browser sees the same page.
    drop(found.try_send(answer));
    if granted {
        page(
            StatusCode::OK,
            "Back to your terminal",
            "The sign-in is finishing there. You can close this page.",
        )
    } else {
        page(StatusCode::OK, "Not signed in", "Your terminal says why. You can close this page.")
    }
}

/// `None` unless `state` is ours and no parameter comes twice (RFC 6749, 3.1).
fn parse(query: &str, state: &Secret) -> Option<Answer> {
    let once = |name: &str| {
        let mut values = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
        let first = values.next().map(|(_, value)| value.into_owned());
        values.next().is_none().then_some(first)
    };
    if Secret::from(once("state")??) != *state {
        return None;
    }
    Some(Answer {
        code: once("code")?.map(Secret::from),
        error: once("error")?,
        description: once("error_description")?,
        iss: once("iss")?,
    })
}

fn page(status: StatusCode, title: &str, text: &str) -> Response<Full<Bytes>> {
    const STYLE: &str = "body{font:1.125rem/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto;\
        padding:0 1.5rem;color-scheme:light dark}h1{font-size:1.75rem}";
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style><main><h1>{title}</h1>\
         <p>{text}</p></main></html>"
    );
    let mut response = Response::new(Full::new(Bytes::from(html)));
    *response.status_mut() = status;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    response
}
