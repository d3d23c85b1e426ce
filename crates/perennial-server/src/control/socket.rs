//! The server's end: HTTP over a Unix socket in the data folder, for this system user and root alone.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admin::Admin;
use super::command::{Answer, Command, CommandError};

/// Its name in the data folder.
pub(super) const NAME: &str = "control.sock";

/// The one path on it.
pub(super) const PATH: &str = "/command";

/// Nobody on this machine needs longer to send a command.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no control socket: one line, with the next step.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The path is longer than the system allows.
    #[error("{path} is too long for a socket: choose a data folder with a shorter path with --data")]
    TooLong {
        /// Where it should be.
        path: PathBuf,
    },
    /// It cannot be made.
    #[error("the control socket {path} cannot be made ({source}): see who may write to the data folder")]
    NotMade {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A bound socket; its file goes when it does.
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// Binds the socket of a data folder whose lock is held, so one that lies there was left by a dead server.
pub(crate) fn bind(folder: &Path) -> Result<ControlSocket, SocketError> {
    let path = folder.join(NAME);
    let not_made = |source: io::Error| SocketError::NotMade { path: path.clone(), source };
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(not_made(error)),
    }
    let listener = UnixListener::bind(&path).map_err(|source| {
        if source.kind() == io::ErrorKind::InvalidInput {
            SocketError::TooLong { path: path.clone() }
        } else {
            not_made(source)
        }
    })?;
    // Whoever connects before this is still asked for their user id.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(not_made)?;
    Ok(ControlSocket { listener, path })
}

impl ControlSocket {
    /// Answers commands until `stop`; one that has begun comes to its end.
    pub(crate) async fn serve(self, admin: Arc<Admin>, stop: CancellationToken) {
        let router = Router::new().route(PATH, post(answer)).with_state(admin);
        let commands = TaskTracker::new();
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, _)) if is_ours(&stream) => {
                    commands.spawn(converse(stream, router.clone(), stop.clone()));
                }
                Ok(_) => tracing::warn!("another system user tried the control socket"),
                Err(error) => {
                    tracing::warn!(%error, "the control socket did not accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        commands.close();
        commands.wait().await;
        let _ = std::fs::remove_file(&self.path);
    }
}

fn is_ours(stream: &UnixStream) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == ours || peer.uid() == 0)
}

async fn converse(stream: UnixStream, router: Router, stop: CancellationToken) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a conversation over the control socket broke off");
    }
}

/// A refusal on the socket: the line that the command prints.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Refused {
    pub(super) error: String,
}

async fn answer(
    State(admin): State<Arc<Admin>>,
    Json(command): Json<Command>,
) -> Result<Json<Answer>, (StatusCode, Json<Refused>)> {
    admin
        .execute(command)
        .await
        .map(Json)
        .map_err(|error| (status(&error), Json(Refused { error: error.to_string() })))
}

fn status(error: &CommandError) -> StatusCode {
    match error {
        CommandError::Accounts(error) if error.is_retriable() => StatusCode::SERVICE_UNAVAILABLE,
        CommandError::Store(error) if error.is_retriable() => StatusCode::SERVICE_UNAVAILABLE,
        CommandError::Store(_) | CommandError::NoRandomness => StatusCode::INTERNAL_SERVER_ERROR,
        CommandError::NoSuchClient(_) => StatusCode::NOT_FOUND,
        CommandError::ClientExists(_) | CommandError::Conflict(_) | CommandError::FromFile(_) => {
            StatusCode::CONFLICT
        }
        CommandError::Accounts(_)
        | CommandError::Form(_)
        | CommandError::Reload(_)
        | CommandError::NotRunning => StatusCode::BAD_REQUEST,
    }
}
