//! Why a server did not start: one line each, with the next step.

use std::io;
use std::net::SocketAddr;

use perennial_store::{OpenError, StoreError};

use crate::config::ConfigError;
use crate::control::SocketError;
use crate::keys::{KeyFileError, KeysError};
use crate::net::tls::TlsError;

/// Why a server did not start, or did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The operator's: the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The operator's: the certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The operator's: the address is taken.
    #[error("port {} is in use ({address}): stop what listens there or choose another with --listen", address.port())]
    PortInUse {
        /// Which.
        address: SocketAddr,
    },
    /// The operator's: the address is not this machine's, or not allowed.
    #[error("cannot listen on {address} ({source}): choose another with --listen")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The data folder's.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The key file's.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The keys'.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The control socket's.
    #[error(transparent)]
    Control(#[from] SocketError),
    /// The store's.
    #[error("the store could not be read at the start: {0}")]
    Store(#[from] StoreError),
    /// The system's.
    #[error("the system did not give what a server needs ({0}): try again")]
    System(#[source] io::Error),
    /// A second signal came before the first had done its work.
    #[error("stopped at once by a second signal: answers in work are lost, and clients will ask again")]
    Interrupted,
}

impl RunError {
    /// Whether a file or value of the operator's is at fault, so that starting again does not help.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        match self {
            Self::Config(_)
            | Self::Tls(_)
            | Self::KeyFile(_)
            | Self::Keys(KeysError::OtherKeyFile { .. }) => true,
            Self::PortInUse { .. }
            | Self::Listen { .. }
            | Self::Open(_)
            | Self::Keys(
                KeysError::Store(_)
                | KeysError::Damaged { .. }
                | KeysError::Unusable { .. }
                | KeysError::NoRandomness
                | KeysError::Unsettled,
            )
            | Self::Control(_)
            | Self::Store(_)
            | Self::System(_)
            | Self::Interrupted => false,
        }
    }

    pub(super) fn listen(address: SocketAddr, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::AddrInUse {
            Self::PortInUse { address }
        } else {
            Self::Listen { address, source }
        }
    }
}
