//! What is wrong with a configuration, and where it stands.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A place in a file; line and column count from 1.
    File {
        /// Which file.
        path: PathBuf,
        /// Which line.
        line: usize,
        /// Which character of it.
        column: usize,
    },
    /// A file as a whole.
    WholeFile(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

/// Why there is no configuration: one line, with the place and what is allowed there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {message}")]
pub struct ConfigError {
    /// Where.
    pub origin: Origin,
    /// What.
    pub message: String,
}

impl ConfigError {
    pub(crate) fn new(origin: Origin, message: impl Into<String>) -> Self {
        Self { origin, message: message.into() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::WholeFile(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}
