//! Getting an issuer's keys over the network: discovery (RFC 8414, OpenID Connect Discovery), then the set.
//!
//! Whatever answers may be a captive portal, an error page or an enemy, so every document has a size limit, the
//! metadata must name the issuer that was asked for, and keys come over TLS.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use url::{Host, Url};

use super::jwk::{KeySet, KeySetFault};
use crate::algorithm::Algorithm;

/// How long a set is fresh when its issuer does not say.
pub(crate) const DEFAULT_MAX_AGE: Duration = Duration::from_secs(300);

/// What outside documents may measure.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) max_metadata_bytes: usize,
    pub(crate) max_key_set_bytes: usize,
    pub(crate) max_keys: usize,
}

/// Where the keys of one issuer come from.
pub(crate) struct Source {
    http: reqwest::Client,
    issuer: Issuer,
    algorithms: Vec<Algorithm>,
    limits: Limits,
    fixed_address: Option<Url>,
    discovered_address: Mutex<Option<Url>>,
}

pub(crate) struct Fetched {
    pub(crate) set: KeySet,
    pub(crate) max_age: Option<Duration>,
}

/// Why keys could not be fetched. For the log: clients only learn that it is our trouble.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchFault {
    #[error("no answer in time")]
    TimedOut,
    #[error("{url} cannot be reached: {source}")]
    Unreachable { url: Url, source: reqwest::Error },
    #[error("{url} answered {status}")]
    Status { url: Url, status: StatusCode },
    #[error("{url} sent more than {limit_bytes} bytes")]
    TooLarge { url: Url, limit_bytes: usize },
    #[error("{url} did not answer with authorization server metadata: is something else answering there?")]
    NotMetadata { url: Url },
    #[error(
        "{url} is the metadata of `{found}`: the configured issuer must be the same, character by character"
    )]
    OtherIssuer { url: Url, found: String },
    #[error("the issuer's jwks_uri `{address}` is not an https address")]
    InsecureAddress { address: String },
    #[error("{url}: {source}")]
    KeySet { url: Url, source: KeySetFault },
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// An issuer identifier (RFC 8414, 2) that keys can be fetched from.
#[derive(Debug, Clone)]
pub(crate) struct Issuer {
    identifier: String,
    url: Url,
}

impl Issuer {
    /// Reads an issuer identifier: https, or http on this machine, without query or fragment.
    pub(crate) fn parse(identifier: &str) -> Option<Self> {
        let url = Url::parse(identifier).ok()?;
        let is_plain = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        (is_plain && is_safe).then(|| Self { identifier: identifier.to_owned(), url })
    }

    pub(crate) fn identifier(&self) -> &str {
        &self.identifier
    }

    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }

    /// RFC 8414, 3.1: the well-known part goes between host and path.
    fn oauth_metadata(&self) -> Url {
        let path = self.url.path().trim_end_matches('/');
        self.at(&format!("/.well-known/oauth-authorization-server{path}"))
    }

    /// OpenID Connect Discovery 1.0, 4: the well-known part goes after the path.
    fn openid_metadata(&self) -> Url {
        let path = self.url.path().trim_end_matches('/');
        self.at(&format!("{path}/.well-known/openid-configuration"))
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url
    }

    /// Whether keys may be fetched from `address` for this issuer: never less safely than its own address.
    pub(crate) fn trusts(&self, address: &Url) -> bool {
        address.scheme() == "https"
            || (address.scheme() == "http" && self.url.scheme() == "http" && is_loopback(address))
    }
}

impl Source {
    pub(crate) fn new(
        issuer: Issuer,
        fixed_address: Option<Url>,
        algorithms: Vec<Algorithm>,
        limits: Limits,
        http: reqwest::Client,
    ) -> Self {
        Self { http, issuer, algorithms, limits, fixed_address, discovered_address: Mutex::new(None) }
    }

    pub(crate) fn issuer(&self) -> &str {
        self.issuer.identifier()
    }

    /// The issuer's present keys.
    pub(crate) async fn fetch(&self) -> Result<Fetched, FetchFault> {
        let url = match self.known_address() {
            Some(url) => url,
            None => self.discover().await?,
        };
        let (headers, body) = self.document(&url, self.limits.max_key_set_bytes).await?;
        let set = KeySet::parse(&body, &self.algorithms, self.limits.max_keys)
            .map_err(|source| FetchFault::KeySet { url, source })?;
        Ok(Fetched { set, max_age: max_age(&headers) })
    }

    /// After a failure the next fetch discovers again: the keys may have moved.
    pub(crate) fn forget_address(&self) {
        *self.discovered_address.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn known_address(&self) -> Option<Url> {
        let discovered = self.discovered_address.lock().unwrap_or_else(PoisonError::into_inner);
        self.fixed_address.as_ref().or(discovered.as_ref()).cloned()
    }

    async fn discover(&self) -> Result<Url, FetchFault> {
        let url = match self.metadata(self.issuer.oauth_metadata()).await {
            Ok(url) => url,
            // The host is there but has no RFC 8414 metadata, or something else in its place.
            Err(first @ (FetchFault::Status { .. } | FetchFault::NotMetadata { .. })) => {
                self.metadata(self.issuer.openid_metadata()).await.map_err(|second| match second {
                    FetchFault::Status { .. } => first,
                    other @ (FetchFault::TimedOut
                    | FetchFault::Unreachable { .. }
                    | FetchFault::TooLarge { .. }
                    | FetchFault::NotMetadata { .. }
                    | FetchFault::OtherIssuer { .. }
                    | FetchFault::InsecureAddress { .. }
                    | FetchFault::KeySet { .. }) => other,
                })?
            }
            Err(fault) => return Err(fault),
        };
        *self.discovered_address.lock().unwrap_or_else(PoisonError::into_inner) = Some(url.clone());
        Ok(url)
    }

    async fn metadata(&self, url: Url) -> Result<Url, FetchFault> {
        let (_, body) = self.document(&url, self.limits.max_metadata_bytes).await?;
        let Ok(metadata) = serde_json::from_slice::<Metadata>(&body) else {
            return Err(FetchFault::NotMetadata { url });
        };
        // RFC 8414, 3.3: identical, or the metadata must not be used (mix-up).
        if metadata.issuer != self.issuer.identifier {
            return Err(FetchFault::OtherIssuer { url, found: metadata.issuer });
        }
        match Url::parse(&metadata.jwks_uri) {
            Ok(address) if self.issuer.trusts(&address) => Ok(address),
            Ok(_) | Err(_) => Err(FetchFault::InsecureAddress { address: metadata.jwks_uri }),
        }
    }

    async fn document(&self, url: &Url, limit_bytes: usize) -> Result<(HeaderMap, Vec<u8>), FetchFault> {
        let unreachable = |source: reqwest::Error| FetchFault::Unreachable {
            url: url.clone(),
            // Its text would name the address a second time.
            source: source.without_url(),
        };
        let mut response = self.http.get(url.clone()).send().await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(FetchFault::Status { url: url.clone(), status: response.status() });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > limit_bytes {
                return Err(FetchFault::TooLarge { url: url.clone(), limit_bytes });
            }
            body.extend_from_slice(&chunk);
        }
        Ok((std::mem::take(response.headers_mut()), body))
    }
}

/// Whether the address is this machine's own.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => Ipv4Addr::is_loopback(&address),
        Some(Host::Ipv6(address)) => Ipv6Addr::is_loopback(&address),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// RFC 9111, 5.2.2: how long the answer is fresh, zero when it must not be kept.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let line = headers.get(CACHE_CONTROL)?.to_str().ok()?.to_ascii_lowercase();
    let mut directives = line.split(',').map(str::trim);
    directives.find_map(|directive| match directive {
        "no-store" | "no-cache" => Some(Duration::ZERO),
        _ => directive.strip_prefix("max-age=")?.trim_matches('"').parse().ok().map(Duration::from_secs),
    })
}
