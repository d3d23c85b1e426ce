//! One connection: HTTP/1.1 or HTTP/2 over it, and how long it may be silent.
//!
//! hyper's own header time-out also runs while a connection idles between requests, and sets a timer for each
//! of them. Here one timer a connection does for both, and is set back only when it fires.

use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::edge::Edge;
use super::tls::Tls;
use crate::config::Limits;

/// How long a connection that was told to end may take to do so.
const FAREWELL: Duration = Duration::from_secs(1);

const STREAMS_PER_CONNECTION: u32 = 100;

/// The near side of a connection, as its requests see it.
pub(super) struct Peer {
    pub(super) addr: IpAddr,
    pub(super) tls: bool,
    /// Beyond the limit on connections: health checks are answered, the rest is refused.
    pub(super) overflow: bool,
    activity: Activity,
}

impl Peer {
    pub(super) fn new(addr: IpAddr, tls: bool, overflow: bool) -> Self {
        Self { addr: addr.to_canonical(), tls, overflow, activity: Activity::new() }
    }

    pub(super) fn h2(&self) -> bool {
        self.activity.h2.load(Ordering::Relaxed)
    }
}

/// What a connection is doing, and since when. Only its own task touches it.
struct Activity {
    opened: Instant,
    in_flight: AtomicU32,
    since_ms: AtomicU64,
    reading: AtomicBool,
    h2: AtomicBool,
}

impl Activity {
    /// A new connection owes its first request's header.
    fn new() -> Self {
        Self {
            opened: Instant::now(),
            in_flight: AtomicU32::new(0),
            since_ms: AtomicU64::new(0),
            reading: AtomicBool::new(true),
            h2: AtomicBool::new(false),
        }
    }

    fn mark(&self, reading: bool) {
        let ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since_ms.store(ms, Ordering::Relaxed);
        self.reading.store(reading, Ordering::Relaxed);
    }

    /// Bytes came. HTTP/2 has frames that begin no request, so there only requests count.
    fn read(&self) {
        let idle = self.in_flight.load(Ordering::Relaxed) == 0 && !self.reading.load(Ordering::Relaxed);
        if idle && !self.h2.load(Ordering::Relaxed) {
            self.mark(true);
        }
    }

    fn begin(&self, version: http::Version) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        if version == http::Version::HTTP_2 {
            self.h2.store(true, Ordering::Relaxed);
        }
        InFlight(self)
    }

    /// When it has been silent for too long; `None` while a request is in work.
    fn deadline(&self, limits: &Limits) -> Option<Instant> {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let allowed = if self.reading.load(Ordering::Relaxed) {
            limits.header_read_timeout
        } else {
            limits.keep_alive_idle
        };
        Some(self.opened + Duration::from_millis(self.since_ms.load(Ordering::Relaxed)) + allowed)
    }
}

struct InFlight<'a>(&'a Activity);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.mark(false);
    }
}

/// Serves a connection to its end: its own, a time limit's, or the server's.
pub(super) async fn serve(
    stream: TcpStream,
    addr: IpAddr,
    overflow: bool,
    tls: Option<&Tls>,
    edge: Arc<Edge>,
    stop: CancellationToken,
) {
    // Answers are small and complete: waiting for more to send only costs time.
    let _ = stream.set_nodelay(true);
    let peer = Arc::new(Peer::new(addr, tls.is_some(), overflow));
    let Some(tls) = tls else { return speak(stream, peer, edge, stop).await };
    match timeout(edge.limits.header_read_timeout, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => speak(stream, peer, edge, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Arc<Peer>,
    edge: Arc<Edge>,
    stop: CancellationToken,
) {
    let limits = edge.limits;
    let service = service_fn({
        let peer = Arc::clone(&peer);
        move |request: http::Request<hyper::body::Incoming>| {
            let (peer, edge) = (Arc::clone(&peer), Arc::clone(&edge));
            async move {
                let _in_flight = peer.activity.begin(request.version());
                Ok::<_, std::convert::Infallible>(edge.answer(&peer, request).await)
            }
        }
    });
    let builder = http(&limits);
    let io = Watched { io: TokioIo::new(stream), peer: Arc::clone(&peer) };
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut stopped = pin!(stop.cancelled());
    let mut stopping = false;
    let mut timer = pin!(sleep_until(Instant::now() + limits.header_read_timeout));
    let ended = poll_fn(|cx| {
        if !stopping && stopped.as_mut().poll(cx).is_ready() {
            stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(Some(ended));
        }
        while let Some(deadline) = peer.activity.deadline(&limits) {
            // A later deadline waits for the timer to fire at the earlier one: most requests never touch it.
            if deadline < timer.deadline() || (timer.is_elapsed() && deadline > Instant::now()) {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            if deadline <= Instant::now() {
                return Poll::Ready(None);
            }
        }
        Poll::Pending
    })
    .await;
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "a connection broke off"),
        // Half a header is owed no answer; whoever is merely idle is told, as far as the protocol can.
        None if peer.activity.reading.load(Ordering::Relaxed) => tracing::debug!("a header came too slowly"),
        None => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(FAREWELL, connection).await;
        }
    }
}

fn http(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(limits.max_header_size);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .max_header_list_size(u32::try_from(limits.max_header_size).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.keep_alive_idle)
        .keep_alive_timeout(limits.header_read_timeout);
    builder
}

/// The stream, telling when bytes come.
struct Watched<I> {
    io: I,
    peer: Arc<Peer>,
}

impl<I: Read + Unpin> Read for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() {
            self.peer.activity.read();
        }
        read
    }
}

impl<I: Write + Unpin> Write for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
}
