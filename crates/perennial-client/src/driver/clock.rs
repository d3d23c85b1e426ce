//! The machine's two clocks and its random source: the only place of the driver that reads them.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::clocks::{BootMillis, Clocks, Entropy, UnixMillis};

/// Both clocks, now.
pub(crate) fn now() -> Clocks {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Clocks {
        wall: UnixMillis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)),
        boot: boot_millis(),
        boot_id: boot_id(),
    }
}

/// Fresh randomness for one event.
pub(crate) fn entropy() -> Entropy {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the operating system has a random source");
    Entropy(bytes)
}

#[cfg(target_os = "linux")]
fn boot_millis() -> BootMillis {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    BootMillis(seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000))
}

/// Where there is no boot clock, one that starts with the process; the wall clock tells what sleep adds.
#[cfg(not(target_os = "linux"))]
fn boot_millis() -> BootMillis {
    BootMillis(u64::try_from(process_start().elapsed().as_millis()).unwrap_or(u64::MAX))
}

#[cfg(target_os = "linux")]
fn read_boot_id() -> u32 {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or_else(random_id)
}

#[cfg(not(target_os = "linux"))]
fn read_boot_id() -> u32 {
    random_id()
}

/// No other process counts from where this one does.
fn random_id() -> u32 {
    let Entropy(bytes) = entropy();
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn boot_id() -> u32 {
    static BOOT_ID: OnceLock<u32> = OnceLock::new();
    *BOOT_ID.get_or_init(read_boot_id)
}

#[cfg(not(target_os = "linux"))]
fn process_start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Notices that the machine slept: the boot clock ran on while the monotonic one stood.
#[derive(Debug)]
pub(crate) struct SleepWatch {
    boot: BootMillis,
    monotonic: Instant,
}

/// A gap between the clocks of more than this is sleep.
const SLEEP_MIN_MS: u64 = 2_000;

impl SleepWatch {
    pub(crate) fn start() -> Self {
        Self { boot: boot_millis(), monotonic: Instant::now() }
    }

    /// Whether the machine slept since the last call.
    pub(crate) fn woke(&mut self) -> bool {
        let now = Self::start();
        let awake = now.monotonic.saturating_duration_since(self.monotonic);
        let awake_ms = u64::try_from(awake.as_millis()).unwrap_or(u64::MAX);
        let slept_ms = now.boot.since_ms(self.boot).saturating_sub(awake_ms);
        *self = now;
        slept_ms > SLEEP_MIN_MS
    }
}
