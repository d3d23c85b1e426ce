//! Settings of a verifier, every limit and time-out by its name.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use url::Url;

use crate::algorithm::Algorithm;
use crate::challenge::Challenge;
use crate::claims::{Expectation, Profile};
use crate::clock::{Clock, SystemClock};
use crate::keys::{Issuer, Keyring, Limits, Schedule, Source};
use crate::metadata::ResourceMetadata;
use crate::verifier::Verifier;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes a [`Verifier`]; begun by [`Verifier::discover`].
#[must_use = "a builder does nothing until `build`"]
pub struct VerifierBuilder {
    issuer: String,
    jwks_uri: Option<String>,
    audiences: Vec<String>,
    resource: Option<String>,
    scopes_supported: Vec<String>,
    realm: Option<String>,
    algorithms: Vec<Algorithm>,
    profile: Profile,
    leeway_seconds: u64,
    schedule: Schedule,
    limits: Limits,
    max_token_bytes: usize,
    seen_tokens: usize,
    http: Option<reqwest::Client>,
    clock: Arc<dyn Clock>,
}

/// Settings that no verifier can work with. One line each, with the next step.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The issuer is not an address that keys can be fetched from safely.
    #[error("issuer `{0}`: give an https address without query or fragment (http only on this machine)")]
    Issuer(String),
    /// No audience was given, so tokens for other APIs would pass here.
    #[error("no audience: say what the tokens for this API have in `aud`, with `audience` or `resource`")]
    NoAudience,
    /// The list of allowed algorithms is empty, so no token could ever pass.
    #[error("no algorithm is allowed: name at least one, or leave `algorithms` away")]
    NoAlgorithm,
    /// The resource identifier is not an address by RFC 9728, 1.2.
    #[error("resource `{0}`: give this API's https address without fragment (http only on this machine)")]
    Resource(String),
    /// The address of the key set is less safe than the issuer's.
    #[error(
        "jwks_uri `{0}`: give an https address (http only on this machine, for an issuer on this machine)"
    )]
    JwksUri(String),
    /// The HTTP client for fetching keys could not be made.
    #[error("no HTTP client for fetching keys: {0}; give one with `http_client`")]
    HttpClient(#[source] reqwest::Error),
    /// `build` was called outside a tokio runtime, which the background refresh needs.
    #[error("a verifier refreshes its keys in the background: build it inside a tokio runtime")]
    NoRuntime,
}

impl VerifierBuilder {
    pub(crate) fn new(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            jwks_uri: None,
            audiences: Vec::new(),
            resource: None,
            scopes_supported: Vec::new(),
            realm: None,
            algorithms: Algorithm::DEFAULT.to_vec(),
            profile: Profile::default(),
            leeway_seconds: 30,
            schedule: Schedule {
                cool_down: Duration::from_secs(30),
                max_stale: Duration::from_secs(6 * 3600),
                refresh_at_least: Duration::from_secs(60),
                refresh_at_most: Duration::from_secs(3600),
                fetch_timeout: Duration::from_secs(5),
            },
            limits: Limits { max_metadata_bytes: 128 * 1024, max_key_set_bytes: 256 * 1024, max_keys: 64 },
            max_token_bytes: 8 * 1024,
            seen_tokens: 10_000,
            http: None,
            clock: Arc::new(SystemClock::default()),
        }
    }

    /// Accepts tokens whose `aud` has this value. Several calls add up; one match is enough.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// This API's own address (RFC 9728). It is an audience too, unless others are given; challenges point to
    /// its metadata, which [`Verifier::metadata_router`] serves.
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resource = Some(resource.into());
        self
    }

    /// Scopes that the resource metadata names, for clients that want to know what to ask for.
    pub fn scopes_supported<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes_supported = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// The realm of challenges. Default: the resource, else the first audience.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// The algorithms that this issuer signs with. Default: [`Algorithm::DEFAULT`].
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Which shape of token is accepted. Default: RFC 9068 to the letter.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// By how much the clocks of issuer and API may differ. Default: 30 s; fractions of a second are dropped.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway_seconds = leeway.as_secs();
        self
    }

    /// Where the keys are, for issuers without discovery.
    pub fn jwks_uri(mut self, address: impl Into<String>) -> Self {
        self.jwks_uri = Some(address.into());
        self
    }

    /// How long the last known keys serve while the issuer cannot be reached. Default: 6 h. It bounds how long a
    /// key that the issuer has retired is still believed by a verifier that is cut off.
    pub fn max_stale(mut self, max_stale: Duration) -> Self {
        self.schedule.max_stale = max_stale;
        self
    }

    /// The least time between two fetches of keys, whatever asks for them. Default: 30 s.
    pub fn cool_down(mut self, cool_down: Duration) -> Self {
        self.schedule.cool_down = cool_down;
        self
    }

    /// Bounds for the issuer's Cache-Control max-age, after which keys are fetched anew in the background.
    /// Default: 1 min to 1 h; without max-age 5 min.
    pub fn refresh_between(mut self, at_least: Duration, at_most: Duration) -> Self {
        self.schedule.refresh_at_least = at_least;
        self.schedule.refresh_at_most = at_most.max(at_least);
        self
    }

    /// How long one fetch of keys may take, discovery included. Default: 5 s.
    pub fn fetch_timeout(mut self, timeout: Duration) -> Self {
        self.schedule.fetch_timeout = timeout;
        self
    }

    /// The longest token that is looked at, in bytes. Default: 8 KiB.
    pub fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token_bytes = bytes;
        self
    }

    /// The largest key set that is read, in bytes. Default: 256 KiB.
    pub fn max_key_set_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_key_set_bytes = bytes;
        self
    }

    /// The largest metadata document that is read, in bytes. Default: 128 KiB.
    pub fn max_metadata_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_metadata_bytes = bytes;
        self
    }

    /// How many keys of a set are looked at; the rest is left out. Default: 64.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.limits.max_keys = keys;
        self
    }

    /// How many verified tokens are remembered. Default: 10,000, some 2 KiB each.
    pub fn seen_tokens(mut self, entries: usize) -> Self {
        self.seen_tokens = entries;
        self
    }

    /// The HTTP client that fetches keys, for proxies or private certificate authorities. It should not follow
    /// redirects. Default: one with rustls, 2 s for connecting, no redirects.
    pub fn http_client(mut self, client: reqwest::Client) -> Self {
        self.http = Some(client);
        self
    }

    /// Where time comes from. Default: the system.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the verifier and starts fetching keys. It does not wait for them: until they are there, requests
    /// wait for the fetch or are answered 503, so an API can start before its issuer.
    ///
    /// # Errors
    /// Settings that cannot work; see [`BuildError`].
    pub fn build(self) -> Result<Verifier, BuildError> {
        let Some(issuer) = Issuer::parse(&self.issuer) else { return Err(BuildError::Issuer(self.issuer)) };
        if self.algorithms.is_empty() {
            return Err(BuildError::NoAlgorithm);
        }
        let runtime = Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let jwks_uri = match self.jwks_uri {
            None => None,
            Some(address) => match Url::parse(&address) {
                Ok(url) if issuer.trusts(&url) => Some(url),
                Ok(_) | Err(_) => return Err(BuildError::JwksUri(address)),
            },
        };
        let metadata = match self.resource {
            None => None,
            Some(resource) => Some(
                ResourceMetadata::new(&resource, &self.issuer, self.scopes_supported)
                    .ok_or(BuildError::Resource(resource))?,
            ),
        };
        let mut audiences = self.audiences;
        if let (true, Some(metadata)) = (audiences.is_empty(), &metadata) {
            audiences.push(metadata.resource().to_owned());
        }
        let Some(first_audience) = audiences.first() else { return Err(BuildError::NoAudience) };
        let own_name = metadata.as_ref().map_or(first_audience.as_str(), ResourceMetadata::resource);
        let realm = self.realm.as_deref().unwrap_or(own_name);
        let challenge = Challenge::new(realm, metadata.as_ref().map(ResourceMetadata::address));
        let http = match self.http {
            Some(client) => client,
            None => default_client(&issuer).map_err(BuildError::HttpClient)?,
        };
        let source = Source::new(issuer, jwks_uri, self.algorithms.clone(), self.limits, http);
        let keyring = Keyring::start(source, self.schedule, Arc::clone(&self.clock), runtime);
        let expectation = Expectation {
            issuer: self.issuer,
            audiences,
            algorithms: self.algorithms,
            profile: self.profile,
            leeway_seconds: self.leeway_seconds,
            max_token_bytes: self.max_token_bytes,
        };
        Ok(Verifier::new(expectation, keyring, challenge, metadata, self.seen_tokens, self.clock))
    }
}

fn default_client(issuer: &Issuer) -> Result<reqwest::Client, reqwest::Error> {
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        // Metadata and keys are where the issuer says or they are not believed.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("perennial-verify/", env!("CARGO_PKG_VERSION")));
    // A proxy from the environment does not reach this machine's own addresses.
    if issuer.is_loopback() { client.no_proxy().build() } else { client.build() }
}

impl fmt::Debug for VerifierBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifierBuilder")
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}
