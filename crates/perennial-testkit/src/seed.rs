//! Seeds that replay: every random test prints the seed it runs on and can be given one.
//!
//! The generator is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): a
//! few lines without state to share, and the same numbers on every machine. It is no source of secrets.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// The environment variable that replays a run: `PERENNIAL_SEED=0x1f2e… cargo test …`.
pub const SEED_VARIABLE: &str = "PERENNIAL_SEED";

/// The environment variable that `cargo xtask soak` sets.
pub const SOAK_VARIABLE: &str = "PERENNIAL_SOAK";

/// How many cases a random test tries: `usual` of them, and a hundred times as many in a soak.
#[must_use]
pub fn cases(usual: u32) -> u32 {
    if std::env::var_os(SOAK_VARIABLE).is_some() { usual.saturating_mul(100) } else { usual }
}

/// Where all randomness of one test comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The seed from `PERENNIAL_SEED`, else a fresh one; says on standard error which and how to replay it.
    ///
    /// # Panics
    /// When the variable is set and is not a number, decimal or `0x` hexadecimal.
    #[must_use]
    pub fn announce() -> Self {
        let seed = match std::env::var(SEED_VARIABLE) {
            Ok(text) => Self::parse(&text)
                .unwrap_or_else(|| panic!("{SEED_VARIABLE}={text} is no seed: give a number such as 0x1f2e")),
            Err(_) => Self::fresh(),
        };
        eprintln!("seed: {seed}  (set {SEED_VARIABLE} to replay)");
        seed
    }

    /// A seed nobody chose. Tests use [`Seed::announce`], which also says it.
    #[must_use]
    pub fn fresh() -> Self {
        // The standard library seeds its hash maps from the system's entropy: enough for a seed, no dependency.
        Self(RandomState::new().hash_one("perennial"))
    }

    /// Reads `0x1f2e` or `7982`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok().map(Self),
            None => text.parse().ok().map(Self),
        }
    }

    /// The generator that this seed starts.
    #[must_use]
    pub fn rng(self) -> Rng {
        Rng { state: self.0 }
    }

    /// A seed of its own for the `n`-th of something, so that one draw more here shifts nothing there.
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        Self(Rng { state: self.0 ^ n.wrapping_mul(0xd134_2543_de82_ef95) }.next_u64())
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#018x}", self.0)
    }
}

/// A SplitMix64 generator: deterministic, for tests and demonstrations only.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `limit - 1`; 0 when `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        // The remainder's bias is below 2^-32 for limits below 2^32: nothing that a test could see.
        self.next_u64().checked_rem(limit).unwrap_or(0)
    }

    /// An index into something of `len` elements; 0 when it is empty.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("an index below a usize fits one")
    }

    /// True in `percent` of 100 calls.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < u64::from(percent)
    }

    /// One of them, or nothing when there are none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.index(of.len()))
    }

    /// Fills `bytes` with noise.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let noise = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&noise[..chunk.len()]);
        }
    }

    /// Puts the elements into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
}
