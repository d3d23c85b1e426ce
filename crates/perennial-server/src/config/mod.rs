//! `perennial.toml`, the environment and the flags, joined and checked.
//!
//! Every single value has one name ([`Setting`]) and one way to be read, whether it comes from the file, the
//! environment or a flag; only where it came from differs, and every error says that. Lifetimes are not here:
//! they are the policy's.

mod client_form;
mod document;
mod error;
mod nearest;
mod read;
mod setting;
mod show;

pub use client_form::{ClientForm, FormError};
pub use error::{ConfigError, Origin};
pub use setting::Setting;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use perennial_core::policy::Policy;

use crate::clients::Client;
use crate::keys::SigningAlgorithm;

/// The file that is read where none is named.
pub const DEFAULT_FILE: &str = "perennial.toml";

/// Where the values of a configuration come from, weakest first.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The file; it must be there. Without one, [`DEFAULT_FILE`] is read where it exists.
    pub file: Option<PathBuf>,
    /// Values from the environment.
    pub environment: Vec<(Setting, String)>,
    /// Values from flags.
    pub flags: Vec<(Setting, String)>,
}

/// A whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The issuer identifier; `localhost` and the bound port where there is none.
    pub issuer: Option<String>,
    /// The data folder.
    pub data: PathBuf,
    /// Every lifetime and reaction.
    pub policy: Policy,
    /// The policy's file.
    pub policy_file: Option<PathBuf>,
    /// The file with the key that wraps all others.
    pub key_encryption_key: PathBuf,
    /// What new signing keys are for.
    pub signing_algorithm: SigningAlgorithm,
    /// The proxies that are believed when they say who is asking.
    pub trusted_proxies: Vec<IpNet>,
    /// In which header they say it.
    pub proxy_header: ProxyHeader,
    /// The certificate, where this server speaks TLS itself.
    pub tls: Option<TlsFiles>,
    /// How it logs.
    pub log: Log,
    /// What it allows at most.
    pub limits: Limits,
    /// The clients of the file.
    pub clients: Vec<Client>,
    origins: BTreeMap<Setting, Origin>,
    /// Where it can be read again; nowhere, if it was made in another process.
    layers: Option<Layers>,
}

/// A certificate chain and its key, PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The header in which trusted proxies say who is asking. Only one is ever read: a proxy that writes one of
/// them passes the other on from the client, and would lend it its word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For` and `X-Forwarded-Proto`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// How the server logs, on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// As lines for people or for machines.
    pub format: LogFormat,
    /// What is worth a line.
    pub level: LogLevel,
}

/// For whom the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// People.
    #[default]
    Text,
    /// Machines: one JSON object a line.
    Json,
}

/// What is worth a line in the log, from least to most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// And what somebody should look at.
    Warn,
    /// And each request.
    #[default]
    Info,
    /// And what helps to find a fault.
    Debug,
    /// And everything else.
    Trace,
}

/// What the server allows at most. Nothing that it takes from outside is without one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time. A few more are accepted to answer `/healthz` and `/readyz`, and 503 to the rest;
    /// beyond those, new ones wait in the system's queue.
    pub max_connections: usize,
    /// Requests in work at a time, `/healthz` and `/readyz` apart; the rest are answered with 503.
    pub max_requests: usize,
    /// From a connection's first byte, or a request's, to the end of its header; also for a TLS handshake.
    pub header_read_timeout: Duration,
    /// From the end of a request's header to the end of its body.
    pub body_read_timeout: Duration,
    /// From the end of a request to its answer; then 503, and the work goes on to its end unseen.
    pub request_timeout: Duration,
    /// How long a connection may stand idle between requests.
    pub keep_alive_idle: Duration,
    /// How long a shutdown waits for answers in work.
    pub shutdown_timeout: Duration,
    /// Bytes of a request's header.
    pub max_header_size: usize,
    /// Bytes of a request's body.
    pub max_body_size: usize,
    /// Passwords hashed at a time.
    pub password_hashes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            max_connections: 4096,
            max_requests: 1024,
            header_read_timeout: Duration::from_secs(10),
            body_read_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            keep_alive_idle: Duration::from_secs(75),
            shutdown_timeout: Duration::from_secs(20),
            max_header_size: 16 * 1024,
            max_body_size: 64 * 1024,
            password_hashes: (cores / 2).max(1),
        }
    }
}

impl Config {
    /// Joins the layers and checks what comes of it.
    ///
    /// # Errors
    /// The first thing that is wrong, where it stands, and what is allowed there.
    pub fn load(layers: Layers) -> Result<Self, ConfigError> {
        read::read(layers)
    }

    /// Reads everything again from where it came.
    ///
    /// # Errors
    /// As [`Config::load`]; this configuration is as it was.
    pub fn reread(&self) -> Result<Self, ConfigError> {
        match self.layers.clone() {
            Some(layers) => read::read(layers),
            None => {
                Err(ConfigError::new(Origin::Default, "this server was started without a file to read again"))
            }
        }
    }

    /// A configuration of defaults for this data folder, without a file: for a server inside another process.
    #[must_use]
    pub fn in_folder(data: &Path) -> Self {
        Self { data: data.to_owned(), key_encryption_key: data.join(KEY_FILE), ..Self::defaults(None) }
    }

    /// Where the value of `setting` comes from.
    #[must_use]
    pub fn origin(&self, setting: Setting) -> Origin {
        self.origins.get(&setting).cloned().unwrap_or(Origin::Default)
    }

    /// The issuer of a server that is bound to `port`.
    #[must_use]
    pub fn issuer_at(&self, port: u16) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.issuer.clone().unwrap_or_else(|| format!("{scheme}://localhost:{port}"))
    }

    /// The settings that differ in `newer` and take effect only at the next start.
    #[must_use]
    pub fn needs_restart(&self, newer: &Self) -> Vec<Setting> {
        let changed = |setting: &Setting| self.text(*setting) != newer.text(*setting);
        let tls_toggled = self.tls.is_some() != newer.tls.is_some();
        Setting::ALL
            .iter()
            .copied()
            .filter(|setting| changed(setting) && (!setting.is_live() || (setting.is_tls() && tls_toggled)))
            .collect()
    }

    /// Takes over what a reload brings into effect; the rest stays as the server was started with.
    pub(crate) fn take_live(&mut self, newer: Self) {
        *self = Self {
            listen: self.listen,
            issuer: self.issuer.take(),
            data: std::mem::take(&mut self.data),
            key_encryption_key: std::mem::take(&mut self.key_encryption_key),
            signing_algorithm: self.signing_algorithm,
            log: Log { format: self.log.format, level: newer.log.level },
            limits: self.limits,
            tls: if self.tls.is_some() { newer.tls.or_else(|| self.tls.take()) } else { None },
            ..newer
        };
    }

    fn defaults(layers: Option<Layers>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            issuer: None,
            data: PathBuf::from("perennial-data"),
            policy: Policy::default(),
            policy_file: None,
            key_encryption_key: Path::new("perennial-data").join(KEY_FILE),
            signing_algorithm: SigningAlgorithm::Es256,
            trusted_proxies: Vec::new(),
            proxy_header: ProxyHeader::default(),
            tls: None,
            log: Log::default(),
            limits: Limits::default(),
            clients: Vec::new(),
            origins: BTreeMap::new(),
            layers,
        }
    }
}

const KEY_FILE: &str = "key-encryption.key";
