//! When to renew and when to try again: pure arithmetic over a roll of the dice.

use crate::clocks::Clocks;
use crate::credentials::AccessToken;

const FIRST_TRY_AGAIN_MS: u64 = 500;
const SHORTEST_WAIT_MS: u64 = 50;
/// Between tries while nothing but time can help: the server or the network is away.
pub(crate) const RETRY_CAP_MS: u64 = 30_000;
/// Between tries while a person has to act: confirm, authenticate, repair a registration.
pub(crate) const ATTENDED_FIRST_MS: u64 = 15_000;
/// The longest pause between such tries.
pub(crate) const ATTENDED_CAP_MS: u64 = 600_000;
/// The longest that a server's Retry-After is obeyed.
const RETRY_AFTER_CAP_MS: u64 = 3_600_000;

/// Milliseconds from `asked_at` at which a token is renewed: where the server said, or a random point between 60 %
/// and 80 % of its life, so that a fifth is left to fail in and a fleet does not come at once.
pub(crate) fn renewal_age_ms(token: &AccessToken, roll: u64) -> u64 {
    let latest = token.lifetime_ms / 10 * 8;
    let window = token.lifetime_ms / 5;
    let random = latest.saturating_sub(window).saturating_add(roll % window.max(1));
    token.refresh_after_ms.map_or(random, |asked| asked.clamp((token.lifetime_ms / 10).min(1_000), latest))
}

/// Whether so little life is left that a renewal is due, whatever point was drawn. Catches jumps of the wall clock.
pub(crate) fn is_late(token: &AccessToken, now: &Clocks) -> bool {
    token.remaining_ms(now) <= token.lifetime_ms / 5
}

/// Milliseconds until the next try: exponential with full jitter, never before what `Retry-After` asks, and then
/// spread over a tenth more so that those who were sent away together do not return together.
pub(crate) fn retry_delay_ms(failures: u32, retry_after_ms: Option<u64>, roll: u64) -> u64 {
    let ceiling = exponential_ms(FIRST_TRY_AGAIN_MS, failures, RETRY_CAP_MS);
    let jittered = (roll % ceiling.saturating_add(1)).max(SHORTEST_WAIT_MS);
    match retry_after_ms.map(|ms| ms.min(RETRY_AFTER_CAP_MS)) {
        Some(asked) => {
            jittered.max(asked.saturating_add(roll % (asked / 10).saturating_add(SHORTEST_WAIT_MS)))
        }
        None => jittered,
    }
}

/// Milliseconds until the server is asked again whether the person has acted.
pub(crate) fn attended_delay_ms(failures: u32, retry_after_ms: Option<u64>, roll: u64) -> u64 {
    let growing = exponential_ms(ATTENDED_FIRST_MS, failures, ATTENDED_CAP_MS);
    let asked = retry_after_ms.map_or(0, |ms| ms.min(RETRY_AFTER_CAP_MS));
    (growing / 2 + roll % (growing / 2).max(1)).max(asked)
}

fn exponential_ms(first: u64, failures: u32, cap: u64) -> u64 {
    first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(cap)
}
