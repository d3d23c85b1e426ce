//! What can happen to one exchange, and what a script may look at when it decides that.

use std::fmt;
use std::time::Duration;

use super::Gate;

/// One request on its way to the server, as the script and the listeners see it.
pub struct Exchange {
    /// From 1, in the order in which whole requests arrived at the proxy.
    pub number: u64,
    /// From 1: which of the clients' connections it came on.
    pub connection: u64,
    /// The method, such as `POST`.
    pub method: String,
    /// The path without the query, such as `/token`.
    pub path: String,
    /// The query without its question mark; empty when there is none.
    pub query: String,
    /// The request's body, unframed. It may hold secrets, so `Debug` leaves it out.
    pub body: Vec<u8>,
}

impl Exchange {
    /// The body as text, lossily; a form for `/token`.
    #[must_use]
    pub fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} {} ({} bytes)", self.number, self.method, self.path, self.body.len())
    }
}

/// What the network does to an exchange.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing: forwarded and answered whole.
    Pass,
    /// The request never reaches the server; the client's connection is reset.
    LoseRequest,
    /// The server answers fully, then the client's connection is reset without a byte of it.
    LoseAnswer,
    /// The client receives the beginning of the answer, exactly that far, and then the end of the stream.
    CutAnswer(Cut),
    /// The request waits at the gate before it is forwarded, even when its client has gone meanwhile. Two
    /// requests at two gates, opened the other way round, are delivered out of order.
    HoldRequest(Gate),
    /// The server has answered; the answer waits at the gate.
    HoldAnswer(Gate),
    /// The request travels for so long before it is forwarded, in tokio's time.
    Delay(Duration),
    /// The request reaches the server twice at the same time; once both are answered, the client receives the
    /// answer to the first.
    Duplicate,
    /// Forwarded and answered as usual; once the gate opens, the same request reaches the server again, and
    /// that answer reaches nobody.
    Repeat(Gate),
    /// The network answers by itself and the server hears nothing.
    Answer(OwnAnswer),
}

/// Where an answer is cut, counted from the first byte of its status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// After so many bytes; all of it when the answer is shorter.
    Byte(usize),
    /// After so many hundredths of it.
    Percent(u8),
}

impl Cut {
    pub(super) fn position(self, answer_len: usize) -> usize {
        match self {
            Self::Byte(at) => at.min(answer_len),
            Self::Percent(share) => answer_len * usize::from(share.min(100)) / 100,
        }
    }
}

/// An answer that somebody between client and server makes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnAnswer {
    /// The HTTP status code.
    pub status: u16,
    /// Headers besides Content-Length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl OwnAnswer {
    /// An answer with this status, content type and body.
    #[must_use]
    pub fn new(status: u16, content_type: &str, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { status, headers, body: body.as_bytes().to_vec() }
    }

    /// The same with one header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What the network of a hotel answers before somebody has accepted its terms: 200 and a page.
    #[must_use]
    pub fn captive_portal() -> Self {
        Self::new(
            200,
            "text/html; charset=utf-8",
            "<!doctype html><title>Welcome</title><p>Accept our terms.",
        )
    }

    /// What a load balancer without a live server behind it answers: 503 and a page, without Retry-After.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::new(503, "text/html", "<html><h1>503 Service Unavailable</h1></html>")
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        use fmt::Write as _;

        let mut head = format!("HTTP/1.1 {} Made up\r\n", self.status);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").expect("a string takes all that is written to it");
        }
        write!(head, "content-length: {}\r\n\r\n", self.body.len()).expect("a string takes it");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
