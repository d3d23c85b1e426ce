//! A proxy on TCP that loses, cuts, holds and repeats: the network of a bad day, decided by a script.
//!
//! It reads HTTP/1.1 only as far as it must to know when one request or one answer is whole, so "the answer was
//! lost" means that the server had answered fully, and passes every byte on unchanged. It needs nothing but tokio
//! and `httparse`, because `perennial dev` ships with it. It does not speak TLS or HTTP/2, and buffers each
//! message whole (up to 16 MiB), so it is no place for event streams.
//!
//! ```no_run
//! use perennial_testkit::{proxy::{script, Fault, FaultyProxy}, Seed};
//! # async fn demonstrate(upstream: std::net::SocketAddr) -> std::io::Result<()> {
//! let proxy = FaultyProxy::before(
//!     upstream,
//!     Seed::announce(),
//!     script::only("/token", script::every(3, Fault::LoseAnswer)),
//! )
//! .await?;
//! // … a client works against `proxy.url()` …
//! proxy.reached(|counts| counts.answers_lost >= 5).await;
//! # Ok(())
//! # }
//! ```

mod account;
mod connection;
mod fault;
mod gate;
pub mod script;
mod wire;

pub use account::{Counts, Event, Happened};
pub use fault::{Cut, Exchange, Fault, OwnAnswer};
pub use gate::Gate;
pub use script::{Chances, Script};

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::seed::Seed;
use connection::Connection;
use wire::{Request, Wire};

/// Events that a slow listener may lag behind before it misses the oldest.
const EVENTS_KEPT: usize = 4096;
const BACKLOG: u32 = 1024;

/// A proxy on 127.0.0.1 before one server. Stops, with all its connections, when dropped.
#[derive(Debug)]
pub struct FaultyProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    commands: mpsc::Sender<(Command, oneshot::Sender<()>)>,
    listening: tokio::task::JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
enum Command {
    GoDown,
    ComeBack,
}

/// What all connections of a proxy share.
struct Shared {
    seed: Seed,
    upstream: Mutex<Option<SocketAddr>>,
    script: Mutex<(u64, Box<dyn Script>)>,
    counts: watch::Sender<Counts>,
    events: broadcast::Sender<Event>,
    background: Mutex<JoinSet<()>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl FaultyProxy {
    /// Starts on a free port of 127.0.0.1 before `upstream`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn before(upstream: SocketAddr, seed: Seed, script: impl Script) -> io::Result<Self> {
        let proxy = Self::unpointed(seed, script).await?;
        proxy.point_at(upstream);
        Ok(proxy)
    }

    /// Starts before no server yet, for a server that must know the proxy's address first (as its issuer). Until
    /// [`FaultyProxy::point_at`] says where it is, the server is away.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn unpointed(seed: Seed, script: impl Script) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            seed,
            upstream: Mutex::new(None),
            script: Mutex::new((0, Box::new(script))),
            counts: watch::Sender::new(Counts::default()),
            events: broadcast::Sender::new(EVENTS_KEPT),
            background: Mutex::new(JoinSet::new()),
        });
        let (commands, inbox) = mpsc::channel(1);
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared), inbox));
        Ok(Self { address, shared, commands, listening })
    }

    /// Where the proxy listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://localhost:PORT`, without a slash at the end, fit to be an issuer.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    /// Sends what comes from now on to this server; open connections keep theirs.
    pub fn point_at(&self, upstream: SocketAddr) {
        *lock(&self.shared.upstream) = Some(upstream);
    }

    /// Another script from the next exchange on.
    pub fn set_script(&self, script: impl Script) {
        lock(&self.shared.script).1 = Box::new(script);
    }

    /// What has happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Waits until the counts are so, and returns them. Give it a deadline with `tokio::time::timeout`.
    pub async fn reached(&self, enough: impl FnMut(&Counts) -> bool) -> Counts {
        let mut counts = self.shared.counts.subscribe();
        *counts.wait_for(enough).await.expect("the sender lives in this proxy")
    }

    /// All that happens from now on. A listener more than 4096 events behind misses the oldest, and is told.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// Cuts all connections and has new ones refused, until [`FaultyProxy::come_back`]. The port stays taken.
    ///
    /// What is held at a gate is dropped, but for the repeats of [`Fault::Repeat`].
    pub async fn go_down(&self) {
        self.command(Command::GoDown).await;
    }

    /// Accepts connections again, on the same port.
    pub async fn come_back(&self) {
        self.command(Command::ComeBack).await;
    }

    async fn command(&self, command: Command) {
        let (done, wait) = oneshot::channel();
        let sent = self.commands.send((command, done)).await;
        sent.expect("the listening task ends only with this proxy");
        wait.await.expect("the listening task could not take its port again");
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        self.listening.abort();
        lock(&self.shared.background).abort_all();
    }
}

impl Shared {
    fn begin(&self, connection: u64, request: &Request) -> (Arc<Exchange>, Fault) {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        // Numbered under the script's lock: the script sees the exchanges in the order of their numbers.
        let mut script = lock(&self.script);
        script.0 += 1;
        let exchange = Arc::new(Exchange {
            number: script.0,
            connection,
            method: request.method.clone(),
            path: path.to_owned(),
            query: query.to_owned(),
            body: request.body.clone(),
        });
        self.note(&exchange, Happened::Arrived);
        let fault = script.1.fault(&exchange, &mut self.seed.nth(exchange.number).rng());
        (exchange, fault)
    }

    fn note(&self, exchange: &Arc<Exchange>, happened: Happened) {
        // Without a listener an event goes nowhere, which is no failure.
        drop(self.events.send(Event { exchange: Arc::clone(exchange), happened }));
        self.counts.send_modify(|counts| counts.note(happened));
    }

    async fn connect(&self) -> io::Result<Wire> {
        let upstream = *lock(&self.upstream);
        let upstream = upstream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        let stream = TcpStream::connect(upstream).await?;
        stream.set_nodelay(true)?;
        Ok(Wire::new(stream))
    }

    fn background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut background = lock(&self.background);
        while background.try_join_next().is_some() {}
        background.spawn(work);
    }
}

/// Accepts connections until the proxy is dropped, which aborts this task and with it all of theirs.
async fn listen(
    mut listener: TcpListener,
    shared: Arc<Shared>,
    mut inbox: mpsc::Receiver<(Command, oneshot::Sender<()>)>,
) {
    let mut connections = JoinSet::new();
    let mut accepted = 0_u64;
    loop {
        tokio::select! {
            connection = listener.accept() => {
                // A connection that was gone before it was accepted, or no file descriptor left: the next may do.
                let Ok((client, _)) = connection else { continue };
                accepted += 1;
                connections.spawn(Connection::new(Arc::clone(&shared), accepted, client).run());
            }
            Some(_) = connections.join_next() => {}
            Some((command, done)) = inbox.recv() => match command {
                Command::ComeBack => answer(done),
                Command::GoDown => {
                    connections.shutdown().await;
                    let Ok(again) = refuse_until_back(listener, &mut inbox, done).await else { return };
                    listener = again;
                }
            },
        }
    }
}

/// Keeps the port bound without listening on it, so that connections to it are refused and nobody else takes it.
async fn refuse_until_back(
    listener: TcpListener,
    inbox: &mut mpsc::Receiver<(Command, oneshot::Sender<()>)>,
    went_down: oneshot::Sender<()>,
) -> io::Result<TcpListener> {
    let address = listener.local_addr()?;
    drop(listener);
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    answer(went_down);
    while let Some((command, done)) = inbox.recv().await {
        match command {
            Command::GoDown => answer(done),
            Command::ComeBack => {
                let listener = socket.listen(BACKLOG)?;
                answer(done);
                return Ok(listener);
            }
        }
    }
    Err(io::Error::from(io::ErrorKind::NotConnected))
}

/// Says that a command is carried out, to a caller who may have stopped waiting.
fn answer(done: oneshot::Sender<()>) {
    let _ = done.send(());
}

/// Nothing panics while it holds one of these locks but a script, whose panic must not hide behind another.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
