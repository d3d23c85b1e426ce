//! The token policy: the one source of every lifetime and reaction.
//!
//! A policy document resolves, per client, into [`Rules`]: one `Copy` value that a decision reads.

mod document;
mod duration;

pub use document::{Policy, PolicyError};
pub use duration::{MalformedDuration, parse_duration_ms};

use serde::{Deserialize, Serialize};

use crate::session::evidence::Class;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// What kind of client it is; each has defaults of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKind {
    /// An application in a browser or on a web server.
    Web,
    /// An application installed on a person's device.
    Native,
    /// A service that acts for itself.
    Service,
    /// A command line or a fleet of processes that act for a person.
    Agent,
}

/// How strictly the reuse of an old token is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// RFC 9700, 4.14 to the letter: no window, and the first dispute acts.
    Strict,
    /// Evidence is weighed.
    Balanced,
    /// Evidence is weighed lightly.
    Tolerant,
}

/// Everything that a decision needs to know of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The version of the policy that these come from.
    pub policy_version: u16,
    /// How long an access token lives, in milliseconds.
    pub access_lifetime_ms: u64,
    /// How long an authorization code may be redeemed, in milliseconds (RFC 6749, 4.1.2: at most 10 minutes).
    pub code_lifetime_ms: u64,
    /// How long a session lives without being used, in milliseconds of service time.
    pub idle_ms: u64,
    /// How long it lives at most, in milliseconds of wall time.
    pub absolute_ms: u64,
    /// How long siblings in one context get the same successor without a proof, in milliseconds.
    pub siblings_ms: u64,
    /// How long a client without retry keys may come back for a lost answer, in milliseconds.
    pub without_proof_ms: u64,
    /// When a proven holder's token rotates.
    pub rotation: Rotation,
    /// Whether a proof at the current token binds an unbound session.
    pub binds: bool,
    /// Whether disputes are weighed or the first one acts.
    pub reuse: Reuse,
    /// What evidence at the threshold does.
    pub response: Response,
    /// Where evidence acts, in tenths.
    pub threshold: u16,
    /// What each kind of dispute weighs.
    pub weights: Weights,
    /// How long the user has to settle a contest, in milliseconds of service time.
    pub contest_grace_ms: u64,
    /// How many generations an unproven token may be ahead of the row.
    pub failover_trust: u32,
}

/// When the token of a proven holder rotates; anybody else's always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// At each refresh.
    Always,
    /// When it is at least this old.
    OlderThan {
        /// In milliseconds of service time.
        ms: u64,
    },
    /// Never.
    Never,
}

/// Whether disputes are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// They add up to the threshold.
    Weighed,
    /// The first one acts.
    FirstDispute,
}

/// What evidence at the threshold does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// The session is paused until the user says who is who.
    Contest,
    /// The session ends.
    Revoke,
    /// It is only noted.
    Observe,
}

/// What a dispute adds to the row's evidence, in tenths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// What a presentation without any dispute takes away.
    pub clean: u16,
    /// A late predecessor, by class: known, new network, new software.
    pub late: [u16; 3],
    /// A superseded token, by class.
    pub superseded: [u16; 3],
}

impl Weights {
    /// What a late predecessor of `class` weighs.
    #[must_use]
    pub const fn late(&self, class: Class) -> u16 {
        by_class(self.late, class)
    }

    /// What a superseded token of `class` weighs.
    #[must_use]
    pub const fn superseded(&self, class: Class) -> u16 {
        by_class(self.superseded, class)
    }
}

const fn by_class([known, new_network, new_software]: [u16; 3], class: Class) -> u16 {
    match class {
        Class::Known => known,
        Class::NewNetwork => new_network,
        Class::NewSoftware => new_software,
    }
}

impl Rules {
    /// The defaults of a kind of client, at level balanced.
    #[must_use]
    pub const fn of_kind(kind: ClientKind) -> Self {
        let (access_lifetime_ms, idle_ms, absolute_ms, without_proof_ms) = match kind {
            ClientKind::Web => (10 * MINUTE_MS, 14 * DAY_MS, 90 * DAY_MS, 10 * MINUTE_MS),
            ClientKind::Native => (10 * MINUTE_MS, 60 * DAY_MS, 365 * DAY_MS, DAY_MS),
            ClientKind::Service => (10 * MINUTE_MS, 30 * DAY_MS, 365 * DAY_MS, 10 * MINUTE_MS),
            ClientKind::Agent => (10 * MINUTE_MS, 30 * DAY_MS, 180 * DAY_MS, DAY_MS),
        };
        Self {
            policy_version: 0,
            access_lifetime_ms,
            code_lifetime_ms: MINUTE_MS,
            idle_ms,
            absolute_ms,
            siblings_ms: 30_000,
            without_proof_ms,
            rotation: Rotation::Always,
            binds: true,
            reuse: Reuse::Weighed,
            response: Response::Contest,
            threshold: 100,
            weights: Weights { clean: 6, late: [0, 10, 30], superseded: [5, 40, 100] },
            contest_grace_ms: DAY_MS,
            failover_trust: 10,
        }
    }

    /// These, which are at level balanced, at `level`; strict also closes both retry windows.
    #[must_use]
    pub const fn at_level(self, level: Level) -> Self {
        match level {
            Level::Strict => Self { siblings_ms: 0, without_proof_ms: 0, reuse: Reuse::FirstDispute, ..self },
            Level::Balanced => self,
            Level::Tolerant => {
                let weights = Weights { clean: 10, late: [0, 5, 15], superseded: [2, 20, 50] };
                Self { weights, ..self }
            }
        }
    }
}
