//! The hot row as bytes: fixed size, under 200, with its own checksum.
//!
//! SQLite has no page checksums, so a flipped bit must show here: a record that does not check is refused,
//! never repaired by guessing. Times are 48 bits of milliseconds, which last until the year 10889.

use crate::ids::{Generation, RowVersion};
use crate::session::context::{
    Context, Known, KnownIds, KnownNetworks, KnownSoftware, NetworkId, SoftwareId,
};
use crate::session::evidence::{Class, LateNote};
use crate::session::retry_key::{KeptRetryKey, KeptRetryKeys, RetryKeyHash};
use crate::session::{EndCause, Hot, State};
use crate::time::{ServiceMillis, UnixMillis};

/// The length of the record in bytes.
pub const HOT_LEN: usize = 200 - 4;
const BODY_LEN: usize = HOT_LEN - 4;
const FORMAT: u8 = 1;

const CURRENT_PRESENTED: u8 = 1;
const STRANGER_SEEN: u8 = 1 << 1;
const BOUND: u8 = 1 << 2;
const NOTED_LATE: u8 = 1 << 3;

/// A record that is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRecord {
    /// Bits have changed since it was written.
    #[error("the record's checksum does not match: it was damaged after it was written")]
    Damaged,
    /// Written by another version of Perennial.
    #[error("the record has format {0}, which this version does not know")]
    Format(u8),
    /// It checks, but says something that no version writes.
    #[error("the record's {0} has a value that no version writes")]
    Value(&'static str),
}

impl Hot {
    /// The record.
    #[must_use]
    pub fn encode(&self) -> [u8; HOT_LEN] {
        let mut out = Writer { bytes: [0; HOT_LEN], at: 0 };
        let (state, cause, until) = state_parts(self.state);
        let flags = flag(self.current_presented, CURRENT_PRESENTED)
            | flag(self.stranger_seen, STRANGER_SEEN)
            | flag(self.bound_from.is_some(), BOUND)
            | flag(self.late.is_some(), NOTED_LATE);
        out.put(&[FORMAT, state, cause, flags]);
        out.put(&self.version.0.to_be_bytes());
        out.put(&self.generation.0.to_be_bytes());
        out.put(&self.bound_from.map_or(0, |from| from.0).to_be_bytes());
        for time in [self.rotated_at.0, self.idle_at.0, until, self.seen_at.0] {
            out.put_time(time);
        }
        out.put(&self.evidence.to_be_bytes());
        out.put(&self.policy_version.to_be_bytes());
        let late = self.late.unwrap_or(LateNote {
            generation: Generation(0),
            class: Class::Known,
            at: ServiceMillis(0),
        });
        out.put(&[class_code(late.class), 0]);
        out.put(&late.generation.0.to_be_bytes());
        out.put_time(late.at.0);
        out.put(&self.rotated_by.network.0.to_be_bytes());
        out.put(&self.rotated_by.software.0.to_be_bytes());
        for kept in self.retry_keys.0 {
            // An empty place is the one generation that nothing can have rotated.
            let of = kept.map_or(u32::MAX, |kept| kept.of.0);
            out.put(&of.to_be_bytes());
            out.put(&kept.map_or([0; 12], |kept| kept.hash.0));
        }
        for known in self.networks.0.0.into_iter().chain(self.software.0.0) {
            out.put(&known.map_or(0, |known| known.id).to_be_bytes());
            out.put(&known.map_or(0, |known| known.first.0).to_be_bytes());
        }
        let checksum = crc32fast::hash(&out.bytes[..BODY_LEN]);
        out.bytes[BODY_LEN..].copy_from_slice(&checksum.to_be_bytes());
        out.bytes
    }

    /// Reads a record.
    ///
    /// # Errors
    /// It is damaged, of another format, or says what no version writes.
    pub fn decode(bytes: &[u8; HOT_LEN]) -> Result<Self, MalformedRecord> {
        let (body, checksum) = bytes.split_at(BODY_LEN);
        if crc32fast::hash(body).to_be_bytes() != checksum {
            return Err(MalformedRecord::Damaged);
        }
        let mut from = Reader { bytes: body };
        let [format, state, cause, flags] = from.take();
        if format != FORMAT {
            return Err(MalformedRecord::Format(format));
        }
        let version = RowVersion(from.u32());
        let generation = Generation(from.u32());
        let bound_from = Generation(from.u32());
        let rotated_at = ServiceMillis(from.time());
        let idle_at = ServiceMillis(from.time());
        let until = from.time();
        let seen_at = UnixMillis(from.time());
        let evidence = u16::from_be_bytes(from.take());
        let policy_version = u16::from_be_bytes(from.take());
        let [class, _] = from.take();
        let late = LateNote {
            class: class_of_code(class)?,
            generation: Generation(from.u32()),
            at: ServiceMillis(from.time()),
        };
        let rotated_by = Context { network: NetworkId(from.u32()), software: SoftwareId(from.u32()) };
        let retry_keys = KeptRetryKeys([from.kept(), from.kept(), from.kept(), from.kept()]);
        let networks = KnownNetworks(from.known_ids());
        let software = KnownSoftware(from.known_ids());
        Ok(Self {
            version,
            state: state_of(state, cause, until)?,
            generation,
            current_presented: flags & CURRENT_PRESENTED != 0,
            stranger_seen: flags & STRANGER_SEEN != 0,
            bound_from: (flags & BOUND != 0).then_some(bound_from),
            rotated_at,
            idle_at,
            seen_at,
            evidence,
            late: (flags & NOTED_LATE != 0).then_some(late),
            retry_keys,
            rotated_by,
            networks,
            software,
            policy_version,
        })
    }
}

const fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

const fn state_parts(state: State) -> (u8, u8, u64) {
    match state {
        State::Active => (0, 0, 0),
        State::Ending { cause, until } => (1, cause.code(), until.0),
        State::Contested { until } => (2, 0, until.0),
        State::Ended { cause, at } => (3, cause.code(), at.0),
    }
}

fn state_of(state: u8, cause: u8, until: u64) -> Result<State, MalformedRecord> {
    let cause = || EndCause::of_code(cause).ok_or(MalformedRecord::Value("end cause"));
    Ok(match state {
        0 => State::Active,
        1 => State::Ending { cause: cause()?, until: ServiceMillis(until) },
        2 => State::Contested { until: ServiceMillis(until) },
        3 => State::Ended { cause: cause()?, at: UnixMillis(until) },
        _ => return Err(MalformedRecord::Value("state")),
    })
}

const fn class_code(class: Class) -> u8 {
    match class {
        Class::Known => 0,
        Class::NewNetwork => 1,
        Class::NewSoftware => 2,
    }
}

const fn class_of_code(code: u8) -> Result<Class, MalformedRecord> {
    match code {
        0 => Ok(Class::Known),
        1 => Ok(Class::NewNetwork),
        2 => Ok(Class::NewSoftware),
        _ => Err(MalformedRecord::Value("class")),
    }
}

struct Writer {
    bytes: [u8; HOT_LEN],
    at: usize,
}

impl Writer {
    fn put(&mut self, part: &[u8]) {
        self.bytes[self.at..self.at + part.len()].copy_from_slice(part);
        self.at += part.len();
    }

    fn put_time(&mut self, ms: u64) {
        const LAST: u64 = (1 << 48) - 1;
        self.put(&ms.min(LAST).to_be_bytes()[2..]);
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (part, rest) = self.bytes.split_first_chunk().expect("the fields add up to the record's length");
        self.bytes = rest;
        *part
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }

    fn time(&mut self) -> u64 {
        let [a, b, c, d, e, f] = self.take();
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    fn kept(&mut self) -> Option<KeptRetryKey> {
        let of = self.u32();
        let hash = RetryKeyHash(self.take());
        (of != u32::MAX).then_some(KeptRetryKey { of: Generation(of), hash })
    }

    fn known(&mut self) -> Option<Known> {
        let id = self.u32();
        let first = Generation(self.u32());
        (id != 0).then_some(Known { id, first })
    }

    fn known_ids(&mut self) -> KnownIds {
        KnownIds([self.known(), self.known(), self.known(), self.known()])
    }
}
