//! Where a presentation comes from: a network and a kind of software, as keyed hashes.
//!
//! The row keeps the last four of each with the generation that first used it, so that a disputed presentation
//! can be held against what was known where the two holders parted. No raw address is kept.

use crate::ids::Generation;

/// A keyed hash of a network prefix (/24, /48). Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetworkId(pub u32);

/// A keyed hash of product and operating system family, and what the client sends to prove itself.
///
/// The two lowest bits say what it sends, so that sending more than a known kind counts as known, and sending
/// less as new: stripping a proof never looks like the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SoftwareId(pub u32);

/// What a client sends beside its token, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sends {
    /// The token alone.
    Token,
    /// A retry key.
    RetryKey,
    /// A proof by a key, or the client's authentication.
    Proof,
}

/// Where one presentation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Context {
    /// From which network.
    pub network: NetworkId,
    /// By which kind of software.
    pub software: SoftwareId,
}

impl Context {
    /// Before anything was presented.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { network: NetworkId(0), software: SoftwareId(0) }
    }
}

impl NetworkId {
    /// The id for the first bytes of a keyed hash; 0 is kept for "none".
    #[must_use]
    pub const fn of_hash(hash: [u8; 4]) -> Self {
        let id = u32::from_be_bytes(hash);
        Self(if id == 0 { 1 } else { id })
    }
}

impl SoftwareId {
    /// The id for the first bytes of a keyed hash and what the client sends.
    #[must_use]
    pub const fn of_hash(hash: [u8; 4], sends: Sends) -> Self {
        let kind = u32::from_be_bytes(hash) | 0b100;
        let sends = match sends {
            Sends::Token => 0,
            Sends::RetryKey => 1,
            Sends::Proof => 2,
        };
        Self((kind & !0b11) | sends)
    }

    const fn covers(self, presented: Self) -> bool {
        self.0 >> 2 == presented.0 >> 2 && self.0 & 0b11 <= presented.0 & 0b11
    }
}

/// A network or kind of software, and the generation that first used it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: u32,
    pub(crate) first: Generation,
}

/// Four of them, the most recently used first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownIds(pub(crate) [Option<Known>; 4]);

impl KnownIds {
    fn learn(self, id: u32, at: Generation) -> Self {
        let used = self.0.iter().flatten().find(|known| known.id == id).copied();
        let mut rest = self.0.iter().flatten().copied().filter(|known| known.id != id);
        Self([Some(used.unwrap_or(Known { id, first: at })), rest.next(), rest.next(), rest.next()])
    }

    fn any_since(&self, parting: Generation) -> bool {
        self.0.iter().flatten().any(|known| known.first > parting)
    }

    fn known_at(&self, parting: Generation, same: impl Fn(u32) -> bool) -> bool {
        self.0.iter().flatten().any(|known| known.first <= parting && same(known.id))
    }
}

/// The last four networks of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownNetworks(pub(crate) KnownIds);

/// The last four kinds of software of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownSoftware(pub(crate) KnownIds);

impl KnownNetworks {
    /// None yet.
    #[must_use]
    pub const fn none() -> Self {
        Self(KnownIds([None; 4]))
    }

    /// These, with `network` used at generation `at`; the least recently used makes room.
    #[must_use]
    pub fn learn(self, network: NetworkId, at: Generation) -> Self {
        Self(self.0.learn(network.0, at))
    }

    /// Whether `network` had been used by generation `parting`.
    #[must_use]
    pub fn known_at(&self, network: NetworkId, parting: Generation) -> bool {
        self.0.known_at(parting, |id| id == network.0)
    }

    /// Whether any was first used after generation `parting`.
    #[must_use]
    pub fn any_since(&self, parting: Generation) -> bool {
        self.0.any_since(parting)
    }
}

impl KnownSoftware {
    /// None yet.
    #[must_use]
    pub const fn none() -> Self {
        Self(KnownIds([None; 4]))
    }

    /// These, with `software` used at generation `at`; the least recently used makes room.
    #[must_use]
    pub fn learn(self, software: SoftwareId, at: Generation) -> Self {
        Self(self.0.learn(software.0, at))
    }

    /// Whether `software`, or the same kind sending less, had been used by generation `parting`.
    #[must_use]
    pub fn known_at(&self, software: SoftwareId, parting: Generation) -> bool {
        self.0.known_at(parting, |id| SoftwareId(id).covers(software))
    }

    /// Whether any was first used after generation `parting`.
    #[must_use]
    pub fn any_since(&self, parting: Generation) -> bool {
        self.0.any_since(parting)
    }
}
