//! The configuration of a running server, and what of it changes when it is read again.

use std::sync::Arc;

use perennial_store::StoreError;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};

use crate::config::{Config, ConfigError, LogLevel};
use crate::control::ClientRegistry;
use crate::net::edge::Edge;
use crate::net::forwarded::Proxies;
use crate::net::tls::{Tls, TlsError};

/// The configuration in effect and everything that listens to it.
pub(crate) struct Live {
    config: Mutex<Config>,
    registry: Arc<ClientRegistry>,
    edge: Arc<Edge>,
    tls: Option<Arc<Tls>>,
    log_level: watch::Sender<LogLevel>,
}

/// What came of reading a configuration again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Keys that have changed and take effect only at the next start.
    pub needs_restart: Vec<String>,
    /// How many clients there are now, from the file and the store.
    pub clients: usize,
}

/// Why the old configuration stays: one line.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The operator's: the configuration or the policy.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The operator's: the certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store's.
    #[error("the clients in the store cannot be read: {0}")]
    Store(#[from] StoreError),
}

impl Live {
    pub(super) fn new(
        config: Config,
        registry: Arc<ClientRegistry>,
        edge: Arc<Edge>,
        tls: Option<Arc<Tls>>,
    ) -> Self {
        let (log_level, _) = watch::channel(config.log.level);
        Self { config: Mutex::new(config), registry, edge, tls, log_level }
    }

    pub(super) fn log_level(&self) -> watch::Receiver<LogLevel> {
        self.log_level.subscribe()
    }

    /// Reads the configuration again and puts it into effect, all of it or nothing.
    pub(crate) async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let mut config = self.config.lock().await;
        match self.replace(&mut config).await {
            Ok(reloaded) => {
                tracing::info!(clients = reloaded.clients, "the configuration was read again");
                if !reloaded.needs_restart.is_empty() {
                    let keys = reloaded.needs_restart.join(", ");
                    tracing::warn!("changed, but in effect only after a restart: {keys}");
                }
                Ok(reloaded)
            }
            Err(error) => {
                tracing::error!("the old configuration stays in effect: {error}");
                Err(error)
            }
        }
    }

    async fn replace(&self, config: &mut Config) -> Result<Reloaded, ReloadError> {
        let newer = config.reread()?;
        // What can still fail comes first.
        let certificate = match (&self.tls, &newer.tls) {
            (Some(tls), Some(files)) => Some((tls, Tls::prepare(files)?)),
            (None, _) | (_, None) => None,
        };
        let clients = self.registry.replace_file(newer.clients.clone()).await?;
        if let Some((tls, certificate)) = certificate {
            tls.change_to(certificate);
        }
        self.registry.service().policy.store(Arc::new(newer.policy.clone()));
        self.edge.trust(proxies(&newer));
        self.log_level.send_replace(newer.log.level);
        let needs_restart =
            config.needs_restart(&newer).into_iter().map(|setting| setting.key().to_owned()).collect();
        config.take_live(newer);
        Ok(Reloaded { needs_restart, clients })
    }
}

/// The proxies that a configuration believes.
pub(super) fn proxies(config: &Config) -> Proxies {
    Proxies { networks: config.trusted_proxies.clone(), header: config.proxy_header }
}
