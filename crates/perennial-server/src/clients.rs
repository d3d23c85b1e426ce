//! The clients: who may ask for tokens, where their answers may go, and what they may ask for.
//!
//! A client is registered in `perennial.toml` or with `perennial client add`; the ones from the file win.
//! They are few and read at every request, so all of them are kept in memory and replaced as a whole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use perennial_core::policy::{ClientKind, Level, Policy, Response, Rules};
use perennial_core::{ClientId, Scopes};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A registered client (RFC 6749, 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its `client_id`.
    pub id: ClientId,
    /// What people call it, on the sign-in and consent pages.
    pub name: String,
    /// Which defaults of the policy it has.
    pub kind: ClientKind,
    /// SHA-256 of its secret, base64url; a public client has none (RFC 6749, 2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_sha256: Option<String>,
    /// Where answers may go: matched exactly, but for the port on loopback (RFC 8252, 7.3).
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Where a sign-out may lead (OpenID Connect RP-Initiated Logout, 3).
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
    /// The web origins that may call from a browser (CORS); on loopback `*` may stand for the port.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Which grant types it may use.
    pub grant_types: Vec<GrantType>,
    /// What it may ask for.
    pub scopes: Scopes,
    /// Whether people are asked before it gets anything.
    #[serde(default)]
    pub consent: Consent,
    /// The audience of its access tokens where it names no resource; the issuer where this is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Its own level of theft detection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Its own response to theft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
    /// A disabled client gets nothing, and its sessions end.
    #[serde(default)]
    pub disabled: bool,
}

/// What a client may present at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// RFC 6749, 4.1.
    AuthorizationCode,
    /// RFC 6749, 6.
    RefreshToken,
    /// RFC 6749, 4.4.
    ClientCredentials,
}

/// Whether people are asked before a client gets anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// The client belongs to whoever runs the server.
    #[default]
    NotNeeded,
    /// Somebody else's: asked once for each set of scopes.
    Ask,
}

impl Client {
    /// Whether it keeps a secret (RFC 6749, 2.1).
    #[must_use]
    pub fn is_confidential(&self) -> bool {
        self.secret_sha256.is_some()
    }

    /// Whether `secret` is its secret; compared in constant time.
    #[must_use]
    pub fn has_secret(&self, secret: &str) -> bool {
        let Some(own) = &self.secret_sha256 else { return false };
        secret_hash(secret).as_bytes().ct_eq(own.as_bytes()).into()
    }

    /// Whether it may use `grant`.
    #[must_use]
    pub fn may_use(&self, grant: GrantType) -> bool {
        self.grant_types.contains(&grant)
    }

    /// Its rules under a policy.
    #[must_use]
    pub fn rules(&self, policy: &Policy) -> Rules {
        policy.rules(self.kind, self.level, self.response)
    }
}

/// The form in which a client's secret is kept. Secrets that we make have 256 random bits, so a plain hash
/// is as good as a slow one, and client authentication stays off the slow path.
#[must_use]
pub fn secret_hash(secret: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(secret.as_bytes()))
}

/// All clients, replaced as a whole.
#[derive(Debug, Default)]
pub struct Clients {
    registered: ArcSwap<Registered>,
}

#[derive(Debug, Default)]
struct Registered {
    by_id: HashMap<Arc<str>, Arc<Client>>,
    /// The origins of all enabled clients.
    origins: HashSet<String>,
    /// Those that end in `:*` on loopback, without it.
    loopback_origins: Vec<String>,
}

impl Clients {
    /// A registry with these clients.
    #[must_use]
    pub fn new(clients: impl IntoIterator<Item = Client>) -> Self {
        let registry = Self::default();
        registry.replace(clients);
        registry
    }

    /// Puts these in the place of all that were there.
    pub fn replace(&self, clients: impl IntoIterator<Item = Client>) {
        let mut registered = Registered::default();
        for client in clients {
            for origin in client.origins.iter().filter(|_| !client.disabled) {
                match origin.strip_suffix(":*").filter(|host| is_loopback(host)) {
                    Some(host) => registered.loopback_origins.push(host.to_owned()),
                    None => _ = registered.origins.insert(origin.clone()),
                }
            }
            registered.by_id.insert(Arc::clone(&client.id.0), Arc::new(client));
        }
        self.registered.store(Arc::new(registered));
    }

    /// The client with this id, enabled or not.
    #[must_use]
    pub fn find(&self, id: &ClientId) -> Option<Arc<Client>> {
        self.named(id.as_str())
    }

    /// The client whose `client_id` is this text, enabled or not.
    #[must_use]
    pub fn named(&self, id: &str) -> Option<Arc<Client>> {
        self.registered.load().by_id.get(id).cloned()
    }

    /// All of them, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.registered.load().by_id.values().cloned().collect()
    }

    /// Whether pages of this web origin may call from a browser: an enabled client registered it.
    #[must_use]
    pub fn allows_origin(&self, origin: &str) -> bool {
        let registered = self.registered.load();
        registered.origins.contains(origin)
            || registered.loopback_origins.iter().any(|host| {
                origin.strip_prefix(host.as_str()).is_some_and(|rest| {
                    rest.is_empty()
                        || rest.strip_prefix(':').is_some_and(|port| {
                            (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit())
                        })
                })
            })
    }
}

/// Whether a web origin without its port is on loopback, where `*` may stand for the port.
fn is_loopback(origin: &str) -> bool {
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}
