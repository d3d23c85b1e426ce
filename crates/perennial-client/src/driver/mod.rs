//! The driver for tokio and reqwest: it moves bytes and time for the engine, and decides nothing.
//!
//! A [`Session`] is a handle; a task owns the engine. While the token is fresh a caller takes it from an atomic
//! pointer, without a lock and without asking the task. Files and their locks are handled off the reactor.

mod api;
pub(crate) mod clock;
mod failpoint;
pub(crate) mod http;
mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, oneshot, watch};

pub use api::SendError;
pub use http::Timeouts;

use crate::clocks::UnixMillis;
use crate::engine::{CallerId, HandedOut, State, StoreFailure, TokenError};
use crate::secret::Secret;
use crate::store::Store;
use task::{Command, Task};

/// Callers and notices that may stand before the task at once; more wait at the door.
const COMMANDS_MAX: usize = 256;

/// How a session is driven.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Time limits of refreshes.
    pub timeouts: Timeouts,
    /// How long a caller waits for a token when it does not say.
    pub wait: Duration,
    /// The secret of a confidential client.
    pub client_secret: Option<Secret>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { timeouts: Timeouts::default(), wait: Duration::from_secs(30), client_secret: None }
    }
}

/// A session cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// The HTTP client cannot be set up on this machine.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[source] reqwest::Error),
}

/// A sign-in that is kept alive. Cheap to clone; the refreshing ends when the last clone is dropped.
///
/// ```
/// use std::sync::Arc;
/// use perennial_client::{Credentials, MemoryStore, Session, SessionOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let nobody = Credentials::signed_out("https://id.example.org", "app", "https://id.example.org/token");
/// let session = Session::open(Arc::new(MemoryStore::holding(nobody)), SessionOptions::default()).await?;
/// let error = session.token().await.unwrap_err();
/// assert_eq!(error.to_string(), "not signed in; run `perennial login`");
/// # Ok(())
/// # }
/// ```
///
/// # Guarantees
/// A token that is handed out is stored. A future that is dropped leaves nothing half done.
#[derive(Clone, Debug)]
pub struct Session {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    current: Arc<ArcSwapOption<HandedOut>>,
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<State>,
    next_caller: AtomicU64,
    wait: Duration,
    api: reqwest::Client,
}

/// An access token as callers get it.
#[derive(Clone, Debug)]
pub struct Token(Arc<HandedOut>);

impl Token {
    /// The token as it goes after `Bearer `.
    pub fn expose(&self) -> &str {
        self.0.token.secret.expose()
    }

    /// When it expires, by this machine's wall clock.
    pub fn expires_at(&self) -> UnixMillis {
        self.0.token.expires_at()
    }

    /// How much life it has left.
    pub fn remaining(&self) -> Duration {
        Duration::from_millis(self.0.token.remaining_ms(&clock::now()))
    }

    /// The scopes granted, space-separated, if the server said.
    pub fn scope(&self) -> Option<&str> {
        self.0.token.scope.as_deref()
    }

    /// Tells it apart from its predecessors and successors without showing it.
    pub fn serial(&self) -> u64 {
        self.0.serial
    }
}

impl Session {
    /// Opens what the store holds and keeps it alive on the current tokio runtime.
    ///
    /// # Errors
    /// The store cannot be read, or TLS cannot be set up.
    pub async fn open(store: Arc<dyn Store>, options: SessionOptions) -> Result<Self, OpenError> {
        let http = http::token_client(options.timeouts).map_err(OpenError::Tls)?;
        let api = reqwest::Client::builder()
            .connect_timeout(options.timeouts.connect)
            .build()
            .map_err(OpenError::Tls)?;
        let stored = task::read_once(store.clone()).await?;
        let current = Arc::new(ArcSwapOption::empty());
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (task, state) = Task::new(stored, store, http, options.client_secret, current.clone());
        tokio::spawn(task.run(inbox));
        let next_caller = AtomicU64::new(0);
        Ok(Self {
            shared: Arc::new(Shared { current, commands, state, next_caller, wait: options.wait, api }),
        })
    }

    /// A token that lives: at once while one is at hand, otherwise after the refresh that is then under way.
    ///
    /// # Errors
    /// None came within [`SessionOptions::wait`], or somebody has to act first; the error says who and how.
    pub async fn token(&self) -> Result<Token, TokenError> {
        self.token_within(Duration::ZERO, self.shared.wait).await
    }

    /// A token with at least `min_ttl` left. At most half of the lifetime that the server gives is promised, and a
    /// shorter one is handed out when refreshes fail.
    ///
    /// # Errors
    /// As [`token`](Self::token).
    pub async fn token_for(&self, min_ttl: Duration) -> Result<Token, TokenError> {
        self.token_within(min_ttl, self.shared.wait).await
    }

    /// As [`token_for`](Self::token_for), waiting at most `wait`.
    ///
    /// # Errors
    /// As [`token`](Self::token).
    pub async fn token_within(&self, min_ttl: Duration, wait: Duration) -> Result<Token, TokenError> {
        let min_ttl_ms = millis(min_ttl);
        let at_hand = self.shared.current.load();
        if let Some(handed_out) = at_hand.as_ref() {
            let now = clock::now();
            let promised_ms = min_ttl_ms.min(handed_out.token.lifetime_ms / 2);
            if handed_out.token.is_live(&now) && handed_out.token.remaining_ms(&now) >= promised_ms {
                return Ok(Token(handed_out.clone()));
            }
        }
        drop(at_hand);
        self.ask(|caller, reply| Command::Wanted { caller, min_ttl_ms, wait, reply }).await
    }

    /// Another token than `refused`, which an API answered with a 401 that named the token as the cause.
    ///
    /// # Errors
    /// As [`token`](Self::token); and when the API refuses one fresh token after another.
    pub async fn token_instead_of(&self, refused: &Token) -> Result<Token, TokenError> {
        let (serial, wait) = (refused.serial(), self.shared.wait);
        self.ask(|caller, reply| Command::Refused { caller, serial, wait, reply }).await
    }

    /// The state, and how it changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.clone()
    }

    async fn ask<F>(&self, command: F) -> Result<Token, TokenError>
    where
        F: FnOnce(CallerId, oneshot::Sender<Answered>) -> Command,
    {
        let caller = CallerId(self.shared.next_caller.fetch_add(1, Ordering::Relaxed));
        let (reply, answer) = oneshot::channel();
        let sent = self.shared.commands.send(command(caller, reply)).await;
        sent.map_err(|_| TokenError::Ended)?;
        let mut gone = GoneOnDrop { caller, commands: Some(&self.shared.commands) };
        let answer = answer.await.unwrap_or(Err(TokenError::Ended));
        gone.commands = None;
        answer.map(Token)
    }
}

pub(crate) type Answered = Result<Arc<HandedOut>, TokenError>;

/// Tells the task that a caller dropped its future. Where the task's door is full it learns at the deadline.
struct GoneOnDrop<'a> {
    caller: CallerId,
    commands: Option<&'a mpsc::Sender<Command>>,
}

impl Drop for GoneOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(commands) = self.commands {
            drop(commands.try_send(Command::Gone(self.caller)));
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
