//! Time as the client sees it: two clocks, read together and handed in.
//!
//! The wall clock jumps (people set it, virtual machines are paused); the boot clock does not, and runs while the
//! machine sleeps, but starts anew at each boot. Age is judged by both, and the larger one wins: a token thought
//! too old costs one refresh, a token thought too young costs a refused call.

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC by the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

/// Milliseconds by a clock that never jumps and runs during sleep (CLOCK_BOOTTIME).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootMillis(pub u64);

impl UnixMillis {
    /// This time, `ms` milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time; 0 if it is not earlier.
    pub fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl BootMillis {
    /// This time, `ms` milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time; 0 if it is not earlier.
    pub fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Both clocks, read at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// The wall clock.
    pub wall: UnixMillis,
    /// The boot clock.
    pub boot: BootMillis,
    /// Which boot the boot clock counts from. Boot times of different boots are never compared.
    pub boot_id: u32,
}

impl Clocks {
    /// Milliseconds that have passed since `then`, or `None` when the clocks cannot tell (another boot, and a wall
    /// clock that stands before `then`).
    ///
    /// ```
    /// use perennial_client::{BootMillis, Clocks, UnixMillis};
    /// let then = Clocks { wall: UnixMillis(1_000_000), boot: BootMillis(50_000), boot_id: 7 };
    /// // Somebody set the wall clock back; the boot clock still knows.
    /// let now = Clocks { wall: UnixMillis(400_000), boot: BootMillis(80_000), boot_id: 7 };
    /// assert_eq!(now.age_ms(&then), Some(30_000));
    /// ```
    pub fn age_ms(&self, then: &Self) -> Option<u64> {
        let by_wall = self.wall.0.checked_sub(then.wall.0);
        let same_boot = self.boot_id == then.boot_id;
        let by_boot = self.boot.0.checked_sub(then.boot.0).filter(|_| same_boot);
        match (by_wall, by_boot) {
            (Some(wall), Some(boot)) => Some(wall.max(boot)),
            (None, Some(boot)) => Some(boot),
            (Some(wall), None) => Some(wall),
            (None, None) => None,
        }
    }
}

/// Randomness for one event: 32 bytes, drawn anew by the driver each time it calls the engine.
#[derive(Clone, Copy)]
pub struct Entropy(pub [u8; 32]);

impl Entropy {
    /// 192 bits for a retry key.
    pub(crate) fn key_bytes(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes.copy_from_slice(&self.0[..24]);
        bytes
    }

    /// 64 bits for jitter, apart from those of the key.
    pub(crate) fn roll(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[24..]);
        u64::from_le_bytes(bytes)
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(..)")
    }
}
