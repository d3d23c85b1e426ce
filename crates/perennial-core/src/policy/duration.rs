//! Durations as people write them in a policy: `30s`, `10m`, `24h`, `30d`.

/// A duration that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration: write a whole number and a unit, like 30s, 10m, 24h or 30d")]
pub struct MalformedDuration(pub String);

/// Reads a duration, in milliseconds.
///
/// # Errors
/// Anything but a whole number with one of the units s, m, h, d, or one that is longer than 1,000 years.
pub fn parse_duration_ms(text: &str) -> Result<u64, MalformedDuration> {
    const LONGEST_MS: u64 = 365_250 * 86_400_000;
    let malformed = || MalformedDuration(text.to_owned());
    let unit = text.chars().next_back().ok_or_else(malformed)?;
    let unit_ms = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return Err(malformed()),
    };
    let number = &text[..text.len() - unit.len_utf8()];
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(malformed());
    }
    let number: u64 = number.parse().map_err(|_| malformed())?;
    number.checked_mul(unit_ms).filter(|ms| *ms <= LONGEST_MS).ok_or_else(malformed)
}
