//! Reading HTTP/1.1 messages whole, byte for byte as they were sent.
//!
//! The proxy must know when one request or answer is complete (RFC 9112, 6), and nothing else about it, so it
//! keeps the bytes and never writes a message anew. Heads and chunk sizes are read by `httparse`.

use std::io;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Longer messages are refused: a proxy for tests buffers each one whole.
const LONGEST_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
const MOST_HEADERS: usize = 128;

/// One request, whole.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) bytes: Vec<u8>,
    pub(super) body: Vec<u8>,
    pub(super) keep_alive: bool,
}

/// One final answer, whole, with the interim (1xx) ones before it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) bytes: Vec<u8>,
    pub(super) keep_alive: bool,
}

/// How a message's body is delimited (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

struct Head {
    len: usize,
    framing: Option<Framing>,
    keep_alive: bool,
    expects_continue: bool,
}

struct RequestHead {
    method: String,
    target: String,
    head: Head,
}

/// A connection and the bytes read from it that belong to no message yet.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Waits until bytes of the next message are there; false when the peer has closed instead. Cancel-safe.
    pub(super) async fn begins(&mut self) -> io::Result<bool> {
        Ok(!self.unread.is_empty() || self.fill().await? > 0)
    }

    /// Reads the next request; `None` when the peer has closed before its first byte.
    pub(super) async fn request(&mut self) -> io::Result<Option<Request>> {
        if !self.begins().await? {
            return Ok(None);
        }
        let RequestHead { method, target, head } = self.head(request_head).await?;
        if head.expects_continue && self.unread.len() == head.len {
            use tokio::io::AsyncWriteExt;
            // RFC 9110, 10.1.1: the client waits for this before it sends the body, and the server, who is given
            // the whole request at once, has no reason to say it again.
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let (end, body) = self.body(head.len, head.framing.unwrap_or(Framing::Length(0))).await?;
        let bytes = self.unread.drain(..end).collect();
        Ok(Some(Request { method, target, bytes, body, keep_alive: head.keep_alive }))
    }

    /// Reads the final answer to a request of this method, with the interim answers before it.
    pub(super) async fn answer(&mut self, to_method: &str) -> io::Result<Answer> {
        let mut bytes = Vec::new();
        loop {
            let (status, head) = self.head(answer_head).await?;
            if status == 101 {
                return Err(unreadable("the server switches protocols, which this proxy does not follow"));
            }
            // RFC 9112, 6.3: these have no body, whatever their headers say.
            let without_body = to_method == "HEAD" || status < 200 || status == 204 || status == 304;
            let framing =
                if without_body { Framing::Length(0) } else { head.framing.unwrap_or(Framing::UntilClose) };
            let (end, _) = self.body(head.len, framing).await?;
            bytes.extend(self.unread.drain(..end));
            if status >= 200 {
                let keep_alive = head.keep_alive && framing != Framing::UntilClose;
                return Ok(Answer { status, bytes, keep_alive });
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        if self.unread.len() > LONGEST_MESSAGE_BYTES {
            return Err(unreadable("a message is longer than 16 MiB"));
        }
        self.stream.read_buf(&mut self.unread).await
    }

    async fn fill_or_fail(&mut self) -> io::Result<()> {
        match self.fill().await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed within a message")),
            _ => Ok(()),
        }
    }

    async fn head<T>(&mut self, parse: fn(&[u8]) -> io::Result<Option<T>>) -> io::Result<T> {
        loop {
            if let Some(head) = parse(&self.unread)? {
                return Ok(head);
            }
            self.fill_or_fail().await?;
        }
    }

    /// Reads until the body that starts at `start` is there; where it ends, and what it holds unframed.
    async fn body(&mut self, start: usize, framing: Framing) -> io::Result<(usize, Vec<u8>)> {
        match framing {
            Framing::Length(len) => {
                if len > LONGEST_MESSAGE_BYTES {
                    return Err(unreadable("a message is longer than 16 MiB"));
                }
                while self.unread.len() < start + len {
                    self.fill_or_fail().await?;
                }
                Ok((start + len, self.unread[start..start + len].to_vec()))
            }
            Framing::Chunked => self.chunks(start).await,
            Framing::UntilClose => {
                while self.fill().await? > 0 {}
                Ok((self.unread.len(), self.unread[start..].to_vec()))
            }
        }
    }

    async fn chunks(&mut self, mut at: usize) -> io::Result<(usize, Vec<u8>)> {
        let mut body = Vec::new();
        loop {
            let size_line = httparse::parse_chunk_size(&self.unread[at..]);
            let Ok(size_line) = size_line else { return Err(unreadable("a chunk has no size")) };
            let httparse::Status::Complete((line_len, size)) = size_line else {
                self.fill_or_fail().await?;
                continue;
            };
            at += line_len;
            if size == 0 {
                return Ok((self.trailers(at).await?, body));
            }
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if size > LONGEST_MESSAGE_BYTES {
                return Err(unreadable("a message is longer than 16 MiB"));
            }
            // The chunk and the line end behind it.
            while self.unread.len() < at + size + 2 {
                self.fill_or_fail().await?;
            }
            body.extend_from_slice(&self.unread[at..at + size]);
            at += size + 2;
        }
    }

    async fn trailers(&mut self, at: usize) -> io::Result<usize> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; MOST_HEADERS];
            match httparse::parse_headers(&self.unread[at..], &mut fields).map_err(unreadable)? {
                httparse::Status::Complete((len, _)) => return Ok(at + len),
                httparse::Status::Partial => {}
            }
            self.fill_or_fail().await?;
        }
    }
}

fn request_head(bytes: &[u8]) -> io::Result<Option<RequestHead>> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(len) = parsed.parse(bytes).map_err(unreadable)? else { return Ok(None) };
    let head = head(len, parsed.version, parsed.headers)?;
    let method = parsed.method.unwrap_or_default().to_owned();
    Ok(Some(RequestHead { method, target: parsed.path.unwrap_or_default().to_owned(), head }))
}

fn answer_head(bytes: &[u8]) -> io::Result<Option<(u16, Head)>> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(len) = parsed.parse(bytes).map_err(unreadable)? else { return Ok(None) };
    let head = head(len, parsed.version, parsed.headers)?;
    Ok(Some((parsed.code.unwrap_or_default(), head)))
}

fn head(len: usize, version: Option<u8>, fields: &[httparse::Header<'_>]) -> io::Result<Head> {
    let mut framing = None;
    let mut keep_alive = version == Some(1);
    let mut expects_continue = false;
    for field in fields {
        let value = String::from_utf8_lossy(field.value).to_ascii_lowercase();
        let names = |token: &str| value.split(',').any(|part| part.trim() == token);
        if field.name.eq_ignore_ascii_case("transfer-encoding") && names("chunked") {
            // RFC 9112, 6.3: it overrides Content-Length.
            framing = Some(Framing::Chunked);
        } else if field.name.eq_ignore_ascii_case("content-length") && framing != Some(Framing::Chunked) {
            let len = value.trim().parse().map_err(unreadable)?;
            framing = Some(Framing::Length(len));
        } else if field.name.eq_ignore_ascii_case("connection") {
            keep_alive = (keep_alive && !names("close")) || names("keep-alive");
        } else if field.name.eq_ignore_ascii_case("expect") {
            expects_continue = names("100-continue");
        }
    }
    Ok(Head { len, framing, keep_alive, expects_continue })
}

fn unreadable(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
