//! The server's log: lines on standard error, for people or for machines, at a level that may change.

use std::io;

use perennial_server::config::{Log, LogFormat, LogLevel};
use tokio::sync::watch;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, fmt, reload};

/// Changes the level of the log that is installed.
pub(crate) struct LogHandle(reload::Handle<Targets, Registry>);

/// Installs the log for the whole process.
pub(crate) fn install(log: Log) -> LogHandle {
    let (level, handle) = reload::Layer::new(targets(log.level));
    let registry = tracing_subscriber::registry().with(level);
    let lines = fmt::layer().with_writer(io::stderr);
    match log.format {
        LogFormat::Text => registry.with(lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr()))).init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_current_span(false)).init(),
    }
    LogHandle(handle)
}

impl LogHandle {
    /// Follows the level of a configuration that may be reloaded.
    pub(crate) async fn follow(self, mut level: watch::Receiver<LogLevel>) {
        while level.changed().await.is_ok() {
            let targets = targets(*level.borrow_and_update());
            if self.0.reload(targets).is_err() {
                return;
            }
        }
    }
}

/// Our own lines at the level that was asked for; those of the libraries only when something is wrong, since
/// they may hold what people send.
fn targets(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_default(own.min(LevelFilter::WARN)).with_target("perennial", own)
}
