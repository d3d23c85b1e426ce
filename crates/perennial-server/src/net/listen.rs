//! The listener: accepts as many connections as allowed, and lets go of all of them without losing an answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection;
use super::edge::Edge;
use super::tls::Tls;

/// Connections beyond the limit that are still accepted, so that health checks are answered under overload.
const OVERFLOW: usize = 64;

/// How long nothing is accepted after the system had no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(100);

/// A bound address and what is served there.
pub(crate) struct Listener {
    socket: TcpListener,
    tls: Option<Arc<Tls>>,
    edge: Arc<Edge>,
    regular: Arc<Semaphore>,
    overflow: Arc<Semaphore>,
    connections: TaskTracker,
}

impl Listener {
    pub(crate) fn new(socket: TcpListener, tls: Option<Arc<Tls>>, edge: Arc<Edge>) -> Self {
        let regular = Arc::new(Semaphore::new(edge.limits.max_connections));
        let overflow = Arc::new(Semaphore::new(OVERFLOW));
        Self { socket, tls, edge, regular, overflow, connections: TaskTracker::new() }
    }

    /// Serves until `stop`, then until every request that was read has its answer. The socket is closed first.
    pub(crate) async fn serve(self, stop: CancellationToken) {
        loop {
            let slot = tokio::select! {
                () = stop.cancelled() => break,
                slot = self.slot() => slot,
            };
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, addr)) => self.spawn(stream, addr, slot, &stop),
                Err(error) => self.pause(&error).await,
            }
        }
        let Self { socket, edge, connections, .. } = self;
        drop(socket);
        connections.close();
        connections.wait().await;
        edge.finished().await;
    }

    /// Waits for room: regular, or among the few beyond.
    async fn slot(&self) -> Slot {
        tokio::select! {
            biased;
            permit = Arc::clone(&self.regular).acquire_owned() => Slot { permit, overflow: false },
            permit = Arc::clone(&self.overflow).acquire_owned() => Slot { permit, overflow: true },
        }
    }

    fn spawn(&self, stream: TcpStream, addr: SocketAddr, slot: Slot, stop: &CancellationToken) {
        // While this one was waited for, another may have ended.
        let slot = match Arc::clone(&self.regular).try_acquire_owned() {
            Ok(permit) if slot.overflow => Slot { permit: Ok(permit), overflow: false },
            Ok(_) | Err(_) => slot,
        };
        let (edge, tls, stop) = (Arc::clone(&self.edge), self.tls.clone(), stop.clone());
        self.connections.spawn(async move {
            connection::serve(stream, addr.ip(), slot.overflow, tls.as_deref(), edge, stop).await;
            drop(slot.permit);
        });
    }

    async fn pause(&self, error: &io::Error) {
        tracing::warn!(%error, "a connection was not accepted");
        // The caller's connection broke before it was accepted; anything else is the system's want of room.
        if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            sleep(NO_ROOM).await;
        }
    }
}

struct Slot {
    permit: Result<OwnedSemaphorePermit, tokio::sync::AcquireError>,
    overflow: bool,
}
