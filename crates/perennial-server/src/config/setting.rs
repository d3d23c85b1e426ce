//! Every single value of a configuration: its names, and how its text becomes part of a [`Config`].

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use perennial_core::policy::parse_duration_ms;
use url::Url;

use super::nearest::listed;
use super::{Config, LogFormat, LogLevel, ProxyHeader};
use crate::keys::SigningAlgorithm;

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident = $key:literal $live:ident $about:literal,)*) => {
        /// The name of one value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Setting { $($(#[$doc])* $name,)* }

        impl Setting {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its key in the file, with the tables that it lies in.
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self { $(Self::$name => $key,)* }
            }

            /// What it is, in a line, for `--help`.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }

            /// Whether a reload brings it into effect.
            #[must_use]
            pub const fn is_live(self) -> bool {
                match self { $(Self::$name => settings!(@$live),)* }
            }
        }
    };
    (@live) => { true };
    (@restart) => { false };
}

settings! {
    /// [`Config::listen`]
    Listen = "listen" restart "Address and port to listen on; port 0 takes any free one",
    /// [`Config::issuer`]
    Issuer = "issuer" restart "The issuer identifier [default: http://localhost:PORT]",
    /// [`Config::data`]
    Data = "data" restart "The data folder [default: perennial-data]",
    /// [`Config::policy_file`]
    Policy = "policy" live "The policy: a TOML file with every lifetime and reaction",
    /// [`Config::key_encryption_key`]
    KeyEncryptionKey = "key_encryption_key" restart "The file with the key that wraps all others [default: DATA/key-encryption.key]",
    /// [`Config::signing_algorithm`]
    SigningAlgorithm = "signing_algorithm" restart "What access and ID tokens are signed with: ES256, EdDSA or RS256",
    /// [`Config::trusted_proxies`]
    TrustedProxies = "trusted_proxies" live "Networks of proxies that are believed when they say who is asking, comma-separated",
    /// [`Config::proxy_header`]
    ProxyHeader = "proxy_header" live "The header in which they say it: x-forwarded or forwarded",
    /// [`super::TlsFiles::certificate`]
    TlsCertificate = "tls.certificate" live "The certificate chain for our own TLS, PEM",
    /// [`super::TlsFiles::key`]
    TlsKey = "tls.key" live "Its private key, PEM",
    /// [`super::Log::format`]
    LogFormat = "log.format" restart "text or json",
    /// [`super::Log::level`]
    LogLevel = "log.level" live "error, warn, info, debug or trace",
    /// [`super::Limits::max_connections`]
    MaxConnections = "limits.max_connections" restart "Connections at a time",
    /// [`super::Limits::max_requests`]
    MaxRequests = "limits.max_requests" restart "Requests in work at a time",
    /// [`super::Limits::header_read_timeout`]
    HeaderReadTimeout = "limits.header_read_timeout" restart "How long a request's header may take",
    /// [`super::Limits::body_read_timeout`]
    BodyReadTimeout = "limits.body_read_timeout" restart "How long a request's body may take",
    /// [`super::Limits::request_timeout`]
    RequestTimeout = "limits.request_timeout" restart "How long an answer may take",
    /// [`super::Limits::keep_alive_idle`]
    KeepAliveIdle = "limits.keep_alive_idle" restart "How long a connection may stand idle",
    /// [`super::Limits::shutdown_timeout`]
    ShutdownTimeout = "limits.shutdown_timeout" restart "How long a shutdown waits for answers in work",
    /// [`super::Limits::max_header_size`]
    MaxHeaderSize = "limits.max_header_size" restart "The largest header of a request",
    /// [`super::Limits::max_body_size`]
    MaxBodySize = "limits.max_body_size" restart "The largest body of a request",
    /// [`super::Limits::password_hashes`]
    PasswordHashes = "limits.password_hashes" restart "Passwords hashed at a time, 19 MiB of memory each",
}

/// Files of a TLS pair, before it is known whether both are named.
#[derive(Default)]
pub(super) struct TlsPair {
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

impl Setting {
    /// Its environment variable.
    #[must_use]
    pub fn variable(self) -> String {
        format!("PERENNIAL_{}", self.key().replace('.', "_").to_uppercase())
    }

    /// Its flag.
    #[must_use]
    pub fn flag(self) -> String {
        format!("--{}", self.key().replace(['.', '_'], "-"))
    }

    /// The settings that the environment holds.
    pub fn from_environment(lookup: impl Fn(&str) -> Option<String>) -> Vec<(Self, String)> {
        Self::ALL.iter().filter_map(|setting| Some((*setting, lookup(&setting.variable())?))).collect()
    }

    pub(super) const fn is_tls(self) -> bool {
        matches!(self, Self::TlsCertificate | Self::TlsKey)
    }

    /// Puts `text` where it belongs; paths are meant from `base`.
    pub(super) fn apply(
        self,
        text: &str,
        base: &Path,
        config: &mut Config,
        tls: &mut TlsPair,
    ) -> Result<(), String> {
        let limits = &mut config.limits;
        match self {
            Self::Listen => {
                config.listen = text.parse().map_err(|_| {
                    format!("`{text}` is no address and port: write one like 127.0.0.1:8080 or [::]:8080")
                })?;
            }
            Self::Issuer => config.issuer = Some(issuer(text)?),
            Self::Data => config.data = path(text, base)?,
            Self::Policy => config.policy_file = Some(path(text, base)?),
            Self::KeyEncryptionKey => config.key_encryption_key = path(text, base)?,
            Self::SigningAlgorithm => {
                config.signing_algorithm = one_of(
                    text,
                    &[
                        ("ES256", SigningAlgorithm::Es256),
                        ("EdDSA", SigningAlgorithm::EdDsa),
                        ("RS256", SigningAlgorithm::Rs256),
                    ],
                )?;
            }
            Self::TrustedProxies => config.trusted_proxies = networks(text)?,
            Self::ProxyHeader => config.proxy_header = one_of(text, PROXY_HEADERS)?,
            Self::TlsCertificate => tls.certificate = Some(path(text, base)?),
            Self::TlsKey => tls.key = Some(path(text, base)?),
            Self::LogFormat => config.log.format = one_of(text, LOG_FORMATS)?,
            Self::LogLevel => config.log.level = one_of(text, LOG_LEVELS)?,
            Self::MaxConnections => limits.max_connections = count(text, 1, 1_000_000)?,
            Self::MaxRequests => limits.max_requests = count(text, 1, 1_000_000)?,
            Self::HeaderReadTimeout => limits.header_read_timeout = span(text)?,
            Self::BodyReadTimeout => limits.body_read_timeout = span(text)?,
            Self::RequestTimeout => limits.request_timeout = span(text)?,
            Self::KeepAliveIdle => limits.keep_alive_idle = span(text)?,
            Self::ShutdownTimeout => limits.shutdown_timeout = span(text)?,
            Self::MaxHeaderSize => limits.max_header_size = size(text, 8 * 1024, 1024 * 1024)?,
            Self::MaxBodySize => limits.max_body_size = size(text, 4 * 1024, 16 * 1024 * 1024)?,
            Self::PasswordHashes => limits.password_hashes = count(text, 1, 256)?,
        }
        Ok(())
    }
}

pub(super) const PROXY_HEADERS: &[(&str, ProxyHeader)] =
    &[("x-forwarded", ProxyHeader::XForwarded), ("forwarded", ProxyHeader::Forwarded)];
pub(super) const LOG_FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
pub(super) const LOG_LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// One of a few words.
pub(super) fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| format!("`{text}` is none of {}", listed(words.iter().map(|(word, _)| *word))))
}

fn path(text: &str, base: &Path) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("an empty path: name a file or folder, or leave the key out".to_owned());
    }
    Ok(base.join(text))
}

/// An issuer identifier (RFC 8414, 2): https, or http on loopback; no query, no fragment, no trailing slash.
fn issuer(text: &str) -> Result<String, String> {
    let url = Url::parse(text)
        .map_err(|why| format!("`{text}` is no URL ({why}): write one like https://id.example.com"))?;
    let host = url.host_str().ok_or_else(|| format!("`{text}` names no host"))?;
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(host)) {
        return Err(format!("`{text}` must be https: only an issuer on localhost may be http"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("`{text}` must have no query and no fragment (RFC 8414, 2)"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an issuer must have no user name and no password in it".to_owned());
    }
    if text.ends_with('/') {
        return Err(format!("`{text}` must not end with a slash: write `{}`", text.trim_end_matches('/')));
    }
    // Clients compare issuers as strings, so the one that is served must be the one that a URL parser keeps.
    let kept = url.as_str().strip_suffix('/').unwrap_or(url.as_str());
    if kept != text {
        return Err(format!("`{text}` is not in its plain form: write `{kept}`"));
    }
    Ok(text.to_owned())
}

/// Whether a host is this machine (RFC 8252, 7.3 and 8.3).
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|addr| addr.is_loopback())
}

fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let network = |one: &str| {
        IpNet::from_str(one).or_else(|_| one.parse().map(|addr: std::net::IpAddr| addr.into())).map_err(
            |_| format!("`{one}` is no address or network: write one like 10.0.0.0/8, 192.0.2.7 or fd00::/8"),
        )
    };
    text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(network).collect()
}

fn count(text: &str, least: usize, most: usize) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("`{text}` is no whole number from {least} to {most}"))
}

fn span(text: &str) -> Result<Duration, String> {
    const LONGEST_MS: u64 = 86_400_000;
    let ms = parse_duration_ms(text).map_err(|malformed| malformed.to_string())?;
    if !(1_000..=LONGEST_MS).contains(&ms) {
        return Err(format!("`{text}` is out of bounds: 1s to 24h are allowed"));
    }
    Ok(Duration::from_millis(ms))
}

fn size(text: &str, least: usize, most: usize) -> Result<usize, String> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let factor = match unit {
        "" | "B" => Some(1),
        "KiB" => Some(1024),
        "MiB" => Some(1024 * 1024),
        _ => None,
    };
    let bytes =
        factor.zip(number.parse::<usize>().ok()).and_then(|(factor, number)| number.checked_mul(factor));
    bytes.filter(|bytes| (least..=most).contains(bytes)).ok_or_else(|| {
        format!("`{text}` is no size from {} to {}: write one like 64KiB", in_kib(least), in_kib(most))
    })
}

pub(super) fn in_kib(bytes: usize) -> String {
    if bytes.is_multiple_of(1024) { format!("{}KiB", bytes / 1024) } else { format!("{bytes}B") }
}
