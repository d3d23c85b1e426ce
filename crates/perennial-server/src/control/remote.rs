//! The operator's end: to the server that runs, or into the data folder where none does.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::admin::Admin;
use super::command::{Answer, Command, CommandError};
use super::registry::ClientRegistry;
use super::socket::{NAME, PATH, Refused};
use crate::config::Config;
use crate::run::{self, RunError};

/// Why a command was not done: one line, with the next step.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The server said no.
    #[error("{0}")]
    Refused(String),
    /// The server did not answer as one.
    #[error("the server did not answer on {path} ({why}): see its log")]
    NoAnswer {
        /// The socket.
        path: String,
        /// How it shows.
        why: String,
    },
    /// No server runs, and the data folder was not opened either.
    #[error(transparent)]
    Open(#[from] RunError),
    /// No server runs, and it was not done in the data folder either.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// Has a command done by the server that runs on the configured data folder, or does it there where none runs.
///
/// # Errors
/// Why it was not done.
pub async fn execute(config: &Config, command: Command) -> Result<Answer, ExecuteError> {
    let path = config.data.join(NAME);
    match UnixStream::connect(&path).await {
        Ok(stream) => ask(stream, &path, &command).await,
        Err(error) if nobody_listens(&error) => execute_here(config, command).await,
        Err(error) => Err(no_answer(&path, &error)),
    }
}

fn nobody_listens(error: &io::Error) -> bool {
    // A path too long for a socket is one that no server listens on.
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::InvalidInput
    )
}

fn no_answer(path: &Path, why: &dyn std::fmt::Display) -> ExecuteError {
    ExecuteError::NoAnswer { path: path.display().to_string(), why: why.to_string() }
}

async fn ask(stream: UnixStream, path: &Path, command: &Command) -> Result<Answer, ExecuteError> {
    let broken = |error: hyper::Error| no_answer(path, &error);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let connection = tokio::spawn(connection);
    let body = serde_json::to_vec(command).map_err(|error| no_answer(path, &error))?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(PATH)
        .header(header::HOST, "control")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| no_answer(path, &error))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let is_ok = response.status().is_success();
    let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
    connection.abort();
    if is_ok {
        return serde_json::from_slice(&body).map_err(|error| no_answer(path, &error));
    }
    let refused: Refused = serde_json::from_slice(&body).map_err(|error| no_answer(path, &error))?;
    Err(ExecuteError::Refused(refused.error))
}

async fn execute_here(config: &Config, command: Command) -> Result<Answer, ExecuteError> {
    // Nothing would come of opening the data folder.
    if matches!(command, Command::Reload) {
        return Err(CommandError::NotRunning.into());
    }
    let service = run::open(config, &config.issuer_at(config.listen.port())).await?;
    let answer = async {
        let registry = ClientRegistry::open(Arc::clone(&service), config.clients.clone()).await;
        let admin = Admin::new(Arc::new(registry.map_err(CommandError::Store)?), None);
        Ok(admin.execute(command).await?)
    };
    let answer = answer.await;
    service.store.close().await;
    answer
}
