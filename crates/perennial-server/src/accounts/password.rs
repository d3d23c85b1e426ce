//! Passwords: argon2id under a bounded concurrency, so that a flood of sign-ins can neither fill the memory
//! nor starve the refreshes that run on the same cores.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::random::random_bytes;

/// The shortest password, in characters (NIST SP 800-63B, 3.1.1.2).
pub(crate) const SHORTEST_PASSWORD: usize = 8;
/// The longest, in characters: long enough for any sentence, short enough to bound the work.
pub(crate) const LONGEST_PASSWORD: usize = 1024;

// The OWASP Password Storage Cheat Sheet's first choice for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// How many may wait for each that is being hashed: at some 30 ms each, about two seconds.
const WAITING_PER_HASH: usize = 64;

/// What an unknown account's password is held against, so that the time tells nothing. No password gives an
/// output of 32 zero bytes, and the answer is "no" whatever comes out.
pub(super) const DUMMY: &str = concat!(
    "$argon2id$v=19$m=19456,t=2,p=1$cGVyZW5uaWFsLWR1bW15IQ$",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
);

/// A password's hash as a PHC string; it does not print.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(super) struct KeptHash(pub(super) String);

impl std::fmt::Debug for KeptHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeptHash(..)")
    }
}

/// A password that no account may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters: choose another")]
pub struct UnfitPassword;

/// Whether an account may have this password: only its length counts (NIST SP 800-63B, 3.1.1.2).
pub(super) fn check_fit(password: &str) -> Result<(), UnfitPassword> {
    let length = password.chars().take(LONGEST_PASSWORD + 1).count();
    if (SHORTEST_PASSWORD..=LONGEST_PASSWORD).contains(&length) { Ok(()) } else { Err(UnfitPassword) }
}

/// Why nothing was hashed.
#[derive(Debug)]
pub(super) enum NotHashed {
    /// The line is as long as it may get.
    Busy,
    /// Ours: no memory, or a hash that no version writes.
    Failed(String),
}

/// The bounded pool: a few hash at a time, some wait, the rest are turned away at once.
#[derive(Debug)]
pub(super) struct HashingPool {
    running: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl HashingPool {
    pub(super) fn new(parallel: usize) -> Self {
        let parallel = parallel.max(1);
        let places = parallel + parallel * WAITING_PER_HASH;
        Self { running: Arc::new(Semaphore::new(parallel)), places: Arc::new(Semaphore::new(places)) }
    }

    /// The hash to keep for `password`.
    pub(super) async fn hash(&self, password: &str) -> Result<KeptHash, NotHashed> {
        let password = Zeroizing::new(password.to_owned());
        self.run(move || {
            let salt: [u8; 16] = random_bytes();
            let hash = argon2()?.hash_password_with_salt(password.as_bytes(), &salt).map_err(failed)?;
            Ok(KeptHash(hash.to_string()))
        })
        .await
    }

    /// Whether `password` is the one that `kept` was made of; without one it works as long and says no.
    pub(super) async fn verify(&self, password: &str, kept: Option<&KeptHash>) -> Result<bool, NotHashed> {
        let password = Zeroizing::new(password.to_owned());
        let known = kept.is_some();
        let kept = kept.cloned().unwrap_or_else(|| KeptHash(DUMMY.to_owned()));
        self.run(move || {
            let hash = PasswordHash::new(&kept.0).map_err(|error| NotHashed::Failed(error.to_string()))?;
            match argon2()?.verify_password(password.as_bytes(), &hash) {
                Ok(()) => Ok(known),
                Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(failed(error)),
            }
        })
        .await
    }

    /// Runs `job` on a blocking thread. The permits go with it: a caller that hangs up frees its place in the
    /// line, but never a slot that is still hashing.
    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, NotHashed> + Send + 'static,
    ) -> Result<T, NotHashed> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| NotHashed::Busy)?;
        let slot = Arc::clone(&self.running).acquire_owned().await.map_err(|_| NotHashed::Busy)?;
        tokio::task::spawn_blocking(move || {
            let _permits = (place, slot);
            job()
        })
        .await
        .map_err(|error| NotHashed::Failed(error.to_string()))?
    }
}

fn argon2() -> Result<Argon2<'static>, NotHashed> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| NotHashed::Failed(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn failed(error: argon2::password_hash::Error) -> NotHashed {
    NotHashed::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_verifies_its_password_and_no_other() {
        let pool = HashingPool::new(1);
        let kept = pool.hash("correct horse battery staple").await.unwrap();
        assert!(kept.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", kept.0);
        assert!(pool.verify("correct horse battery staple", Some(&kept)).await.unwrap());
        assert!(!pool.verify("correct horse battery stapler", Some(&kept)).await.unwrap());
    }

    #[tokio::test]
    async fn an_unknown_account_costs_the_same_work_and_never_matches() {
        let ours = PasswordHash::new(DUMMY).unwrap();
        let fresh = HashingPool::new(1).hash("a password of ours").await.unwrap();
        let fresh = PasswordHash::new(&fresh.0).unwrap();
        assert_eq!(ours.params.to_string(), fresh.params.to_string());
        assert_eq!(ours.algorithm, fresh.algorithm);
        assert!(!HashingPool::new(1).verify("anything", None).await.unwrap());
    }

    #[tokio::test]
    async fn a_full_line_turns_away_at_once() {
        let pool = HashingPool::new(1);
        let all = u32::try_from(pool.places.available_permits()).unwrap();
        let _all = Arc::clone(&pool.places).try_acquire_many_owned(all).unwrap();
        assert!(matches!(pool.verify("anything", None).await, Err(NotHashed::Busy)));
    }

    #[test]
    fn only_the_length_of_a_password_counts() {
        assert_eq!(check_fit("1234567"), Err(UnfitPassword));
        assert_eq!(check_fit("12345678"), Ok(()));
        assert_eq!(check_fit(&"é".repeat(1024)), Ok(()));
        assert_eq!(check_fit(&"é".repeat(1025)), Err(UnfitPassword));
    }
}
