//! How often somebody may guess: buckets of failed sign-ins, in memory, of a fixed size.
//!
//! Three are asked before a password is looked at: this login from this network, this network, and this login
//! from all networks that it never signed in from. The last one slows a guesser with many addresses down
//! without locking the owner out at home or at work. Only failures count, and no bucket knows whether the login
//! exists. A bucket is one number in a table of fixed size, found by a keyed hash; two that share a place
//! share a limit, which is rare and harms nobody for long.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use perennial_core::ServiceMillis;

const PLACES: usize = 1 << 14;

const BY_BOTH: Limit = Limit { burst: 10, every_ms: 30_000 };
const BY_NETWORK: Limit = Limit { burst: 100, every_ms: 2_000 };
const BY_LOGIN: Limit = Limit { burst: 100, every_ms: 30_000 };

/// So many at once, and one more each time so much time has passed.
#[derive(Clone, Copy)]
struct Limit {
    burst: u64,
    every_ms: u64,
}

/// Too many failures of late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany {
    /// When the next attempt is looked at.
    pub(crate) retry_after_s: u32,
}

/// All buckets.
#[derive(Debug)]
pub(crate) struct Attempts {
    hasher: RandomState,
    by_both: Buckets,
    by_network: Buckets,
    by_login: Buckets,
    /// Fingerprints of login and network that have signed in.
    signed_in: Vec<AtomicU64>,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            by_both: Buckets::new(),
            by_network: Buckets::new(),
            by_login: Buckets::new(),
            signed_in: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Whether a password for `login` from `addr` is looked at now.
    pub(crate) fn may_try(&self, login: &str, addr: IpAddr, now: ServiceMillis) -> Result<(), TooMany> {
        let (both, network, alone) = self.keys(login, addr);
        let wait_ms = self
            .by_both
            .wait_ms(both, BY_BOTH, now)
            .max(self.by_network.wait_ms(network, BY_NETWORK, now))
            .max(if self.knows(both) { 0 } else { self.by_login.wait_ms(alone, BY_LOGIN, now) });
        if wait_ms == 0 {
            return Ok(());
        }
        Err(TooMany { retry_after_s: u32::try_from(wait_ms.div_ceil(1000)).unwrap_or(u32::MAX) })
    }

    /// A password was wrong.
    pub(crate) fn failed(&self, login: &str, addr: IpAddr, now: ServiceMillis) {
        let (both, network, alone) = self.keys(login, addr);
        self.by_both.fill(both, BY_BOTH, now);
        self.by_network.fill(network, BY_NETWORK, now);
        self.by_login.fill(alone, BY_LOGIN, now);
    }

    /// A password was right: whoever mistyped it before starts afresh.
    pub(crate) fn succeeded(&self, login: &str, addr: IpAddr) {
        let (both, _, _) = self.keys(login, addr);
        self.by_both.empty(both);
        self.signed_in[place(both)].store(both, Ordering::Relaxed);
    }

    fn knows(&self, both: u64) -> bool {
        self.signed_in[place(both)].load(Ordering::Relaxed) == both
    }

    fn keys(&self, login: &str, addr: IpAddr) -> (u64, u64, u64) {
        let login = login.trim().to_lowercase();
        let network = prefix(addr);
        (
            self.hasher.hash_one((1_u8, &login, network)),
            self.hasher.hash_one((2_u8, network)),
            self.hasher.hash_one((3_u8, &login)),
        )
    }
}

/// The network that limits go by: /24 or /48.
fn prefix(addr: IpAddr) -> [u8; 6] {
    match addr.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            [4, 0, 0, a, b, c]
        }
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, ..] = v6.octets();
            [a, b, c, d, e, f]
        }
    }
}

fn place(key: u64) -> usize {
    usize::try_from(key % PLACES as u64).expect("a remainder below PLACES fits a usize")
}

/// Each is the moment at which it will be empty again (the generic cell rate algorithm), 0 for empty.
#[derive(Debug)]
struct Buckets(Vec<AtomicU64>);

impl Buckets {
    fn new() -> Self {
        Self((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }

    /// How long until there is room for one more.
    fn wait_ms(&self, key: u64, limit: Limit, now: ServiceMillis) -> u64 {
        let empty_at = self.0[place(key)].load(Ordering::Relaxed).max(now.0);
        (empty_at + limit.every_ms).saturating_sub(now.0 + limit.burst * limit.every_ms)
    }

    fn fill(&self, key: u64, limit: Limit, now: ServiceMillis) {
        let _previous = self.0[place(key)].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |empty_at| {
            // Never fuller than twice the burst: a flood in flight must not shut anybody out for hours.
            let fullest = now.0 + 2 * limit.burst * limit.every_ms;
            Some((empty_at.max(now.0) + limit.every_ms).min(fullest))
        });
    }

    fn empty(&self, key: u64) {
        self.0[place(key)].store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_eleventh_guess_waits_and_time_makes_room_for_one_more() {
        let attempts = Attempts::new();
        let home = addr("192.0.2.7");
        for _ in 0..10 {
            assert_eq!(attempts.may_try("ada", home, ServiceMillis(0)), Ok(()));
            attempts.failed("ada", home, ServiceMillis(0));
        }
        // The same person and network, however it is written.
        let refused = attempts.may_try(" Ada", addr("192.0.2.200"), ServiceMillis(0));
        assert_eq!(refused, Err(TooMany { retry_after_s: 30 }));
        assert_eq!(attempts.may_try("ada", home, ServiceMillis(30_000)), Ok(()));
        assert_eq!(attempts.may_try("grace", home, ServiceMillis(0)), Ok(()));
        assert_eq!(attempts.may_try("ada", addr("198.51.100.1"), ServiceMillis(0)), Ok(()));
    }

    #[test]
    fn a_right_password_starts_afresh() {
        let attempts = Attempts::new();
        let home = addr("192.0.2.7");
        for _ in 0..9 {
            attempts.failed("ada", home, ServiceMillis(0));
        }
        attempts.succeeded("ada", home);
        for _ in 0..9 {
            attempts.failed("ada", home, ServiceMillis(0));
        }
        assert_eq!(attempts.may_try("ada", home, ServiceMillis(0)), Ok(()));
    }

    #[test]
    fn a_guesser_with_many_addresses_is_slowed_and_the_owner_is_not_locked_out() {
        let attempts = Attempts::new();
        let home = addr("2001:db8:1::1");
        attempts.succeeded("ada", home);
        for n in 0..200_u8 {
            attempts.failed("ada", addr(&format!("203.0.{n}.1")), ServiceMillis(0));
        }
        assert!(attempts.may_try("ada", addr("203.1.1.1"), ServiceMillis(0)).is_err());
        assert_eq!(attempts.may_try("ada", home, ServiceMillis(0)), Ok(()));
    }
}
