//! The bad network: a fifth of all answers never arrive, and some are cut in the middle.

use std::net::SocketAddr;
use std::time::Duration;

use perennial_testkit::Seed;
use perennial_testkit::proxy::{Chances, Counts, FaultyProxy};

use crate::commands::Failure;

/// What it does, in percent of all exchanges.
pub(super) const FAULTS: Chances = Chances {
    lose_request: 5,
    lose_answer: 20,
    cut_answer: 5,
    duplicate: 3,
    delay: 20,
    longest_delay: Duration::from_millis(200),
};

/// One side's way to the server and to the API.
pub(super) struct Network {
    server: FaultyProxy,
    api: FaultyProxy,
}

/// Where the two ends are reached through it.
#[derive(Clone)]
pub(super) struct Addresses {
    pub(super) token_endpoint: String,
    pub(super) notes: String,
}

impl Network {
    /// Proxies before both; the same seed gives the same faults in the same order.
    pub(super) async fn before(server: SocketAddr, api: SocketAddr, seed: Seed) -> Result<Self, Failure> {
        let failed = |error| Failure::new(format!("the faulty network cannot start: {error}"));
        Ok(Self {
            server: FaultyProxy::before(server, seed.nth(1), FAULTS).await.map_err(failed)?,
            api: FaultyProxy::before(api, seed.nth(2), FAULTS).await.map_err(failed)?,
        })
    }

    pub(super) fn addresses(&self) -> Addresses {
        Addresses {
            token_endpoint: format!("{}/token", self.server.url()),
            notes: format!("{}/notes", self.api.url()),
        }
    }

    pub(super) fn to_server(&self) -> Counts {
        self.server.counts()
    }

    pub(super) fn to_api(&self) -> Counts {
        self.api.counts()
    }
}
