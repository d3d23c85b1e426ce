//! Scripts: who decides what happens to which exchange.

use std::time::Duration;

use super::{Cut, Exchange, Fault};
use crate::seed::Rng;

/// Decides the fate of each exchange, in the order of their arrival.
///
/// Any `FnMut(&Exchange, &mut Rng) -> Fault` is one. The generator is seeded by the proxy's seed and the number
/// of the exchange, so a script that draws more or less for one exchange changes nothing for the next.
pub trait Script: Send + 'static {
    /// What happens to this exchange.
    fn fault(&mut self, exchange: &Exchange, rng: &mut Rng) -> Fault;
}

impl<F> Script for F
where
    F: FnMut(&Exchange, &mut Rng) -> Fault + Send + 'static,
{
    fn fault(&mut self, exchange: &Exchange, rng: &mut Rng) -> Fault {
        self(exchange, rng)
    }
}

/// A network without faults.
#[must_use]
pub fn pass() -> impl Script {
    |_: &Exchange, _: &mut Rng| Fault::Pass
}

/// These faults in turn, one an exchange, then none any more.
#[must_use]
pub fn list(faults: impl IntoIterator<Item = Fault>) -> impl Script {
    let mut faults = faults.into_iter().collect::<Vec<_>>().into_iter();
    move |_: &Exchange, _: &mut Rng| faults.next().unwrap_or(Fault::Pass)
}

/// This fault for every `n`-th exchange.
///
/// # Panics
/// When `n` is 0.
#[must_use]
pub fn every(n: u64, fault: Fault) -> impl Script {
    assert!(n > 0, "every 0th exchange is none: give 1 or more");
    let mut seen = 0_u64;
    move |_: &Exchange, _: &mut Rng| {
        seen += 1;
        if seen.is_multiple_of(n) { fault.clone() } else { Fault::Pass }
    }
}

/// The script for requests to this path alone; all others pass and are not shown to it.
#[must_use]
pub fn only(path: &str, mut script: impl Script) -> impl Script {
    let path = path.to_owned();
    move |exchange: &Exchange, rng: &mut Rng| {
        if exchange.path == path { script.fault(exchange, rng) } else { Fault::Pass }
    }
}

/// Faults by chance, in percent of all exchanges; what is left of 100 passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chances {
    /// [`Fault::LoseRequest`].
    pub lose_request: u32,
    /// [`Fault::LoseAnswer`].
    pub lose_answer: u32,
    /// [`Fault::CutAnswer`], somewhere in it.
    pub cut_answer: u32,
    /// [`Fault::Duplicate`].
    pub duplicate: u32,
    /// [`Fault::Delay`] by up to `longest_delay`.
    pub delay: u32,
    /// The longest delay.
    pub longest_delay: Duration,
}

impl Script for Chances {
    fn fault(&mut self, _: &Exchange, rng: &mut Rng) -> Fault {
        let mut drawn = rng.below(100);
        let mut falls_to = |percent: u32| {
            let hit = drawn < u64::from(percent);
            drawn = drawn.saturating_sub(u64::from(percent));
            hit
        };
        // Each draw below takes its share off the same number, so the first hit ends it.
        if falls_to(self.lose_request) {
            Fault::LoseRequest
        } else if falls_to(self.lose_answer) {
            Fault::LoseAnswer
        } else if falls_to(self.cut_answer) {
            let share = u8::try_from(rng.below(100)).expect("below 100 fits");
            Fault::CutAnswer(Cut::Percent(share))
        } else if falls_to(self.duplicate) {
            Fault::Duplicate
        } else if falls_to(self.delay) {
            let longest_ms = u64::try_from(self.longest_delay.as_millis()).unwrap_or(u64::MAX);
            Fault::Delay(Duration::from_millis(rng.below(longest_ms.saturating_add(1))))
        } else {
            Fault::Pass
        }
    }
}
