//! What the client commands share: the profile that they work on, its exit codes, and how they run.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use perennial_client::{FileStore, OpenError, Session, SessionOptions, StoreFailure, TokenError};

use super::Failure;

/// Somebody has to sign in.
pub(crate) const SIGNED_OUT: u8 = 3;
/// The same command may work later.
pub(crate) const TRY_LATER: u8 = 4;

/// The exit codes, as `--help` shows them.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed
  2  wrong usage
  3  signed out: run `perennial login`
  4  temporarily unavailable: the same command may work later";

/// Which sign-in a command works with.
#[derive(Debug, clap::Args)]
pub(crate) struct ProfileArgs {
    /// The sign-in to work with; several can be kept side by side.
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) profile: String,
}

impl ProfileArgs {
    /// The file of this profile.
    pub(crate) fn store(&self) -> Result<FileStore, Failure> {
        FileStore::for_profile(&self.profile).map_err(|error| Failure::new(error.to_string()))
    }

    /// The session of this profile, kept alive from now on.
    pub(crate) async fn open(&self, wait: Duration) -> Result<Session, Failure> {
        let options = SessionOptions { wait, ..SessionOptions::default() };
        let opened = Session::open(Arc::new(self.store()?), options).await;
        opened.map_err(|error| match error {
            OpenError::Store(failure) => self.store_failure(&failure),
            tls @ OpenError::Tls(_) => Failure::new(tls.to_string()),
        })
    }

    /// A store that cannot be used.
    pub(crate) fn store_failure(&self, failure: &StoreFailure) -> Failure {
        let code = match failure {
            StoreFailure::Corrupt { .. } => SIGNED_OUT,
            StoreFailure::Newer { .. } | StoreFailure::Io { .. } => 1,
        };
        Failure::new(self.with_profile(&failure.to_string())).with_code(code)
    }

    /// A token that cannot be had.
    pub(crate) fn token_failure(&self, error: &TokenError) -> Failure {
        let code = match error {
            _ if error.is_signed_out() => SIGNED_OUT,
            _ if error.is_retriable() => TRY_LATER,
            TokenError::Unavailable(_) | TokenError::Attend(_) | TokenError::Ended => 1,
        };
        Failure::new(self.with_profile(&error.to_string())).with_code(code)
    }

    /// The library's advice names the command; the profile belongs to it.
    fn with_profile(&self, text: &str) -> String {
        if self.profile == "default" {
            return text.to_owned();
        }
        text.replace("`perennial login`", &format!("`perennial login --profile {}`", self.profile))
    }
}

/// Runs a command's future to its end. What is still waiting then (a lock that another process holds) is left
/// behind: nothing of it is half done.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

/// A duration as people write it: `90s`, `5m`, `1h 30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|_| "write it like 90s, 5m or 1h30m".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "it must not be negative".to_owned())
}

/// A duration as people read it: the two largest units.
pub(crate) fn readable(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (size, unit) in units {
        let count = left / size;
        left %= size;
        if count > 0 {
            parts.push(format!("{count} {unit}"));
        } else if !parts.is_empty() {
            break;
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}
