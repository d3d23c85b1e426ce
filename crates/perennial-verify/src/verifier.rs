//! The verifier: from the bytes of a token to a principal or a refusal.
//!
//! Three paths, each only when the one before does not decide: the token has been seen (a hash and a look-up);
//! its claims and signature are checked with the keys at hand; the keys at hand do not do, so the issuer is asked.
//! Only the last one waits.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::Response;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use crate::algorithm::Algorithm;
use crate::builder::VerifierBuilder;
use crate::challenge::Challenge;
use crate::claims::{Expectation, Unverified};
use crate::clock::Clock;
use crate::jws::Jws;
use crate::keys::{Key, Keyring, Waited};
use crate::layer::VerifyLayer;
use crate::metadata::ResourceMetadata;
use crate::principal::Principal;
use crate::refusal::{Refusal, TokenFault, VerifierFault};

/// How many keys a token without `kid` is tried with: the present one and some around a rotation. More would let
/// garbage cost a signature check per key of a large set.
const MAX_CANDIDATES: usize = 4;

/// Decides about access tokens of one issuer. Cheap to clone; all clones share keys and memory.
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

struct Inner {
    expectation: Expectation,
    keyring: Arc<Keyring>,
    seen: Cache<[u8; 32], Seen>,
    clock: Arc<dyn Clock>,
    challenge: Arc<Challenge>,
    metadata: Option<ResourceMetadata>,
}

/// What is remembered of a verified token. Only verified ones get here, so garbage cannot push them out.
#[derive(Clone)]
struct Seen {
    principal: Principal,
    key: Arc<Key>,
}

/// A token that was looked at without waiting.
pub(crate) enum Glance {
    Decided(Result<Principal, Refusal>),
    /// The keys at hand do not tell.
    NeedsKeys(MissingKey),
}

/// Why the keys at hand do not tell.
pub(crate) enum MissingKey {
    Trouble(VerifierFault),
    /// No key of this name; the token says that it was issued then, which nobody has verified.
    Unknown {
        issued_at: Option<u64>,
    },
}

impl Verifier {
    /// Begins a verifier for the tokens of `issuer`, whose keys are found by its metadata. The issuer is compared
    /// with tokens and metadata character by character.
    pub fn discover(issuer: impl AsRef<str>) -> VerifierBuilder {
        VerifierBuilder::new(issuer.as_ref())
    }

    pub(crate) fn new(
        expectation: Expectation,
        keyring: Arc<Keyring>,
        challenge: Challenge,
        metadata: Option<ResourceMetadata>,
        seen_tokens: usize,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let seen = Cache::new(seen_tokens);
        let challenge = Arc::new(challenge);
        Self { inner: Arc::new(Inner { expectation, keyring, seen, clock, challenge, metadata }) }
    }

    /// Verifies an access token, without its scheme.
    ///
    /// # Errors
    /// The refusal, which [`Verifier::answer`] turns into an HTTP answer. The verifier's own trouble is
    /// [`Refusal::Unavailable`].
    pub async fn verify(&self, token: &str) -> Result<Principal, Refusal> {
        match self.glance(token) {
            Glance::Decided(decision) => decision,
            Glance::NeedsKeys(_) => self.verify_with_new_keys(token).await,
        }
    }

    /// Waits until keys have been fetched, for a start that is to be ready when it says so.
    ///
    /// # Errors
    /// The one fetch that it waits for fails, or it is too early for another one.
    pub async fn ready(&self) -> Result<(), Refusal> {
        if self.inner.keyring.usable().is_err() {
            self.inner.keyring.renew().await;
        }
        self.inner.keyring.usable().map(|_| ()).map_err(|fault| self.unavailable(fault))
    }

    /// A tower layer that lets only verified requests through and puts a [`Principal`] into their extensions.
    #[must_use]
    pub fn layer(&self) -> VerifyLayer {
        VerifyLayer::new(self.clone())
    }

    /// Serves this API's metadata (RFC 9728) at its well-known address. Empty without
    /// [`VerifierBuilder::resource`]. Merge it outside the protected routes.
    pub fn metadata_router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.inner.metadata.as_ref().map_or_else(Router::new, ResourceMetadata::router)
    }

    /// The whole answer to a refusal, challenge included, for callers of [`Verifier::verify`]; the layer sends it by
    /// itself.
    #[must_use]
    pub fn answer(&self, refusal: &Refusal) -> Response<Body> {
        self.inner.challenge.answer(refusal)
    }

    pub(crate) fn challenge(&self) -> &Arc<Challenge> {
        &self.inner.challenge
    }

    /// Decides without waiting, if that can be done.
    pub(crate) fn glance(&self, token: &str) -> Glance {
        if token.len() > self.inner.expectation.max_token_bytes {
            return Glance::Decided(Err(TokenFault::Oversized.into()));
        }
        let now = self.inner.clock.unix_seconds();
        let hash: [u8; 32] = Sha256::digest(token).into();
        if let Some(principal) = self.remembered(&hash, now) {
            return Glance::Decided(Ok(principal));
        }
        self.examine(token, hash, now)
    }

    /// The second look, after the issuer has been asked.
    pub(crate) async fn verify_with_new_keys(&self, token: &str) -> Result<Principal, Refusal> {
        let waited = self.inner.keyring.renew().await;
        match self.glance(token) {
            Glance::Decided(decision) => decision,
            Glance::NeedsKeys(MissingKey::Trouble(fault)) => Err(self.unavailable(fault)),
            Glance::NeedsKeys(MissingKey::Unknown { issued_at }) => {
                if waited == Waited::Renewed || self.keys_are_newer_than(issued_at) {
                    Err(TokenFault::UnknownKey.into())
                } else {
                    Err(self.unavailable(VerifierFault::PendingKey))
                }
            }
        }
    }

    fn remembered(&self, hash: &[u8; 32], now: u64) -> Option<Principal> {
        let seen = self.inner.seen.get(hash)?;
        let is_alive =
            now < seen.principal.expires_at().saturating_add(self.inner.expectation.leeway_seconds);
        if !is_alive || seen.key.is_retired() {
            self.inner.seen.remove(hash);
            return None;
        }
        self.inner.keyring.usable().is_ok().then_some(seen.principal)
    }

    fn examine(&self, token: &str, hash: [u8; 32], now: u64) -> Glance {
        let (jws, algorithm, unverified) = match self.read(token, now) {
            Ok(parts) => parts,
            Err(fault) => return Glance::Decided(Err(fault.into())),
        };
        let keys = match self.inner.keyring.usable() {
            Ok(keys) => keys,
            Err(fault) => return Glance::NeedsKeys(MissingKey::Trouble(fault)),
        };
        let Some(current) = keys.as_deref() else {
            return Glance::NeedsKeys(MissingKey::Trouble(VerifierFault::NoKeys));
        };
        let kid = jws.header.kid.as_deref();
        let mut candidates = current.set.candidates(kid, algorithm).take(MAX_CANDIDATES).peekable();
        let is_named_key_here = kid.is_some() && candidates.peek().is_some();
        match candidates.find(|key| key.verifies(jws.signing_input, &jws.signature)) {
            Some(key) => {
                let principal = Principal::new(unverified.claims);
                self.inner.seen.insert(hash, Seen { principal: principal.clone(), key: Arc::clone(key) });
                Glance::Decided(Ok(principal))
            }
            None if is_named_key_here => Glance::Decided(Err(TokenFault::Signature.into())),
            None => Glance::NeedsKeys(MissingKey::Unknown { issued_at: unverified.issued_at }),
        }
    }

    /// Everything about a token but its signature.
    fn read<'token>(
        &self,
        token: &'token str,
        now: u64,
    ) -> Result<(Jws<'token>, Algorithm, Unverified), TokenFault> {
        let expectation = &self.inner.expectation;
        let mut jws = Jws::parse(token)?;
        let algorithm = Algorithm::named(&jws.header.alg)
            .filter(|algorithm| expectation.algorithms.contains(algorithm))
            .ok_or(TokenFault::Algorithm)?;
        let unverified = expectation.check(&jws.header, std::mem::take(&mut jws.payload), now)?;
        Ok((jws, algorithm, unverified))
    }

    /// Whether the keys at hand were fetched after the token says it was issued: then its key cannot be newer than
    /// they are. The claim is not verified, but it only moves the answer between 401 and 503.
    fn keys_are_newer_than(&self, issued_at: Option<u64>) -> bool {
        let leeway = self.inner.expectation.leeway_seconds;
        let keys = self.inner.keyring.usable();
        let fetched_at =
            keys.ok().and_then(|keys| keys.as_deref().map(|current| current.fetched_unix_seconds));
        match (issued_at, fetched_at) {
            (Some(issued_at), Some(fetched_at)) => issued_at.saturating_add(leeway) < fetched_at,
            (None, _) | (_, None) => false,
        }
    }

    fn unavailable(&self, fault: VerifierFault) -> Refusal {
        Refusal::Unavailable { fault, retry_after: self.inner.keyring.retry_after() }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("issuer", &self.inner.expectation.issuer)
            .field("audiences", &self.inner.expectation.audiences)
            .finish_non_exhaustive()
    }
}
