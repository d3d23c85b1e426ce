//! Our own TLS: the certificate is read from files and can be replaced while connections are open.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig, crypto};
use zeroize::Zeroizing;

use crate::config::TlsFiles;

/// Why a certificate is not used: one line, with the file and the next step.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path} cannot be read ({source}): check tls.certificate and tls.key")]
    Unreadable {
        /// Which.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// No certificate in it.
    #[error("{path}: no certificate in it ({why}): it must hold the chain as PEM, the server's own first")]
    NoCertificate {
        /// Which.
        path: String,
        /// How it shows.
        why: String,
    },
    /// No key in it.
    #[error("{path}: no private key in it ({why}): it must hold one as PEM")]
    NoKey {
        /// Which.
        path: String,
        /// How it shows.
        why: String,
    },
    /// They do not go together, or are of a kind that is not known.
    #[error(
        "{certificate} and {key} do not make a TLS server ({source}): check that the key is the certificate's"
    )]
    Unfit {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
        /// What the TLS library said.
        source: rustls::Error,
    },
}

/// The certificate in use.
pub(crate) struct Tls {
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self { config: ArcSwap::new(server_config(files)?) })
    }

    /// Reads the files, which may be others; what is wrong with them leaves the old ones in use.
    pub(crate) fn prepare(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
        server_config(files)
    }

    /// Uses another certificate for all connections from here on.
    pub(crate) fn change_to(&self, config: Arc<ServerConfig>) {
        self.config.store(config);
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let name = |path: &Path| path.display().to_string();
    let certificate = read(&files.certificate)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::NoCertificate { path: name(&files.certificate), why: plainly(&error) })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate {
            path: name(&files.certificate),
            why: plainly(&pem::Error::NoItemsFound),
        });
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|error| TlsError::NoKey { path: name(&files.key), why: plainly(&error) })?;
    let unfit =
        |source| TlsError::Unfit { certificate: name(&files.certificate), key: name(&files.key), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unfit)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    std::fs::read(path)
        .map(Zeroizing::new)
        .map_err(|source| TlsError::Unreadable { path: path.display().to_string(), source })
}

fn plainly(error: &pem::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
