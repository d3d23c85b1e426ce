//! A whole server, from its configuration to the last answer before it stops.
//!
//! [`run`] is the process: signals, and one line when it is ready. [`start`] is the server inside another
//! process: tests, and `perennial dev`.

mod chores;
mod error;
mod live;
mod signals;

pub use error::RunError;
pub use live::{ReloadError, Reloaded};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use perennial_store::Store;
use perennial_store::sqlite::{Options, SqliteStore};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::Accounts;
use crate::clients::Clients;
use crate::clock::Clock;
use crate::config::{Config, LogLevel};
use crate::control::{self, Admin, ClientRegistry};
use crate::keys::{KeyEncryptionKey, Keys};
use crate::net::edge::Edge;
use crate::net::listen::Listener;
use crate::net::tls::Tls;
use crate::ops::{self, Readiness};
use crate::service::Service;
use crate::{oauth, pages};
pub(crate) use live::Live;
use signals::{Signal, Signals};

/// A server that answers.
#[derive(Debug)]
pub struct Ready {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its issuer identifier.
    pub issuer: Arc<str>,
    /// What its configuration says is worth a line in the log; a reload may change it.
    pub log_level: watch::Receiver<LogLevel>,
}

/// Runs a server until a signal ends it: SIGTERM and SIGINT let it finish what is in work (a second one does
/// not), SIGHUP reads the configuration again.
///
/// # Errors
/// It could not start, or was interrupted while it stopped.
pub async fn run(config: Config, ready: impl FnOnce(Ready)) -> Result<(), RunError> {
    let mut signals = Signals::install().map_err(RunError::System)?;
    chores::make_room_for(config.limits.max_connections);
    let running = tokio::select! {
        running = start(config) => running?,
        () = signals.end() => return Ok(()),
    };
    ready(running.ready());
    while signals.next().await == Signal::Reload {
        // What it did or did not do is in the log.
        let _ = running.reload().await;
    }
    tokio::select! {
        () = running.shutdown() => Ok(()),
        () = signals.end() => Err(RunError::Interrupted),
    }
}

/// A running server.
pub struct Running {
    addr: SocketAddr,
    issuer: Arc<str>,
    service: Arc<Service>,
    admin: Arc<Admin>,
    live: Arc<Live>,
    readiness: Arc<Readiness>,
    stop: CancellationToken,
    server: JoinHandle<()>,
    others: TaskTracker,
    shutdown_timeout: Duration,
}

/// Starts a server; it answers when this returns.
///
/// # Errors
/// What keeps it from starting, with the next step. Nothing of it is left running then.
pub async fn start(config: Config) -> Result<Running, RunError> {
    let tls = config.tls.as_ref().map(Tls::load).transpose()?.map(Arc::new);
    let socket =
        TcpListener::bind(config.listen).await.map_err(|source| RunError::listen(config.listen, source))?;
    let addr = socket.local_addr().map_err(RunError::System)?;
    let service = open(&config, &config.issuer_at(addr.port())).await?;
    match serve(config, socket, addr, tls, Arc::clone(&service)).await {
        Ok(running) => Ok(running),
        Err(error) => {
            service.store.close().await;
            Err(error)
        }
    }
}

async fn serve(
    config: Config,
    socket: TcpListener,
    addr: SocketAddr,
    tls: Option<Arc<Tls>>,
    service: Arc<Service>,
) -> Result<Running, RunError> {
    let readiness = Arc::new(Readiness::new());
    let router = router(Arc::clone(&service), Arc::clone(&readiness));
    let edge = Edge::new(router, Arc::clone(&service.issuer), config.limits, live::proxies(&config));
    let edge = Arc::new(edge.map_err(|error| RunError::System(std::io::Error::other(error)))?);
    let registry = Arc::new(ClientRegistry::open(Arc::clone(&service), config.clients.clone()).await?);
    let control = control::bind(&config.data)?;

    let shutdown_timeout = config.limits.shutdown_timeout;
    let live = Arc::new(Live::new(config, Arc::clone(&registry), Arc::clone(&edge), tls.clone()));
    let admin = Arc::new(Admin::new(registry, Some(Arc::clone(&live))));
    let stop = CancellationToken::new();
    let others = TaskTracker::new();
    others.spawn(control.serve(Arc::clone(&admin), stop.clone()));
    others.spawn(chores::keep_clock(Arc::clone(&service), stop.clone()));
    others.spawn(chores::sweep(Arc::clone(&service), stop.clone()));
    let server = tokio::spawn(Listener::new(socket, tls, edge).serve(stop.clone()));
    let issuer = Arc::clone(&service.issuer);
    Ok(Running { addr, issuer, service, admin, live, readiness, stop, server, others, shutdown_timeout })
}

/// Opens the data folder and everything in it that a service needs.
///
/// # Errors
/// The folder, the key file or a record is not as it should be.
pub(crate) async fn open(config: &Config, issuer: &str) -> Result<Arc<Service>, RunError> {
    let folder = config.data.clone();
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&folder, Options::default())).await;
    let store: Arc<dyn Store> = Arc::new(opened.map_err(|panic| RunError::System(panic.into()))??);
    let parts = async {
        let clock = Clock::start(&*store).await?;
        let key_file = &config.key_encryption_key;
        let kek = if Keys::are_in(&*store).await? {
            KeyEncryptionKey::load(key_file)?
        } else {
            KeyEncryptionKey::load_or_create(key_file)?
        };
        let keys = Keys::open(&*store, &kek, config.signing_algorithm, clock.now().wall).await?;
        Ok((clock, keys))
    };
    match parts.await {
        Ok((clock, keys)) => {
            let accounts = Accounts::new(config.limits.password_hashes);
            let policy = config.policy.clone();
            Ok(Arc::new(Service::new(issuer, store, keys, Clients::default(), accounts, policy, clock)))
        }
        Err(error) => {
            store.close().await;
            Err(error)
        }
    }
}

/// Every route there is.
pub(crate) fn router(service: Arc<Service>, readiness: Arc<Readiness>) -> Router {
    Router::new()
        .merge(oauth::routes())
        .merge(pages::routes())
        .merge(ops::routes(readiness))
        .with_state(service)
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its issuer identifier.
    #[must_use]
    pub fn issuer(&self) -> &Arc<str> {
        &self.issuer
    }

    /// What an operator can ask of it.
    #[must_use]
    pub fn admin(&self) -> &Arc<Admin> {
        &self.admin
    }

    /// What it tells when it is ready.
    #[must_use]
    pub fn ready(&self) -> Ready {
        Ready { addr: self.addr, issuer: Arc::clone(&self.issuer), log_level: self.live.log_level() }
    }

    /// Reads the configuration again; the log says what came of it.
    ///
    /// # Errors
    /// Something in it is wrong: the old one stays as a whole.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.live.reload().await
    }

    /// Stops accepting, finishes what is in work, as long as the configuration waits for that, and closes the
    /// store, which makes everything that was answered durable.
    pub async fn shutdown(mut self) {
        self.readiness.stop();
        self.stop.cancel();
        if timeout(self.shutdown_timeout, &mut self.server).await.is_err() {
            tracing::warn!(
                "some answers took longer than limits.shutdown_timeout: their clients will ask again"
            );
            self.server.abort();
        }
        self.others.close();
        if timeout(self.shutdown_timeout, self.others.wait()).await.is_err() {
            tracing::warn!("a command or a sweep took longer than limits.shutdown_timeout");
        }
        if let Err(error) = self.service.clock.keep(&*self.service.store).await {
            tracing::warn!(%error, "the service clock was not kept");
        }
        self.service.store.close().await;
        tracing::info!("stopped");
    }
}
