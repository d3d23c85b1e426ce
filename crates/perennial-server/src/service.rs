//! What every endpoint works with: the store, the keys, the clients, the policy and the clocks.

use std::sync::Arc;

use arc_swap::ArcSwap;
use perennial_core::policy::Policy;
use perennial_store::Store;

use crate::accounts::Accounts;
use crate::clients::Clients;
use crate::clock::Clock;
use crate::keys::Keys;

/// The service behind the endpoints; shared by all connections.
pub struct Service {
    /// The issuer identifier (RFC 8414, 2): scheme, host, port and path, without a trailing slash.
    pub issuer: Arc<str>,
    /// Where sessions live.
    pub store: Arc<dyn Store>,
    /// Everything secret that the server makes tokens with.
    pub keys: Keys,
    /// Who may ask for tokens.
    pub clients: Clients,
    /// Who may sign in.
    pub accounts: Accounts,
    /// Every lifetime and reaction.
    pub policy: ArcSwap<Policy>,
    /// Wall time and service time.
    pub clock: Clock,
}

impl Service {
    /// A service of these parts.
    #[must_use]
    pub fn new(
        issuer: impl Into<Arc<str>>,
        store: Arc<dyn Store>,
        keys: Keys,
        clients: Clients,
        accounts: Accounts,
        policy: Policy,
        clock: Clock,
    ) -> Self {
        let policy = ArcSwap::from_pointee(policy);
        Self { issuer: issuer.into(), store, keys, clients, accounts, policy, clock }
    }
}
