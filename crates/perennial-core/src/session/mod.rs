//! A session, what it remembers, and how a presentation of one of its tokens is decided.
//!
//! The words are those of the design's session model: current, predecessor, superseded, proven, disputed,
//! stale. A session is one row for ever: rotating changes it in place, so storage grows with sessions and
//! never with refreshes, and a replay is recognised at any age.

mod binding;
pub mod change;
pub mod context;
pub mod decide;
pub mod evidence;
pub mod reason;
mod record;
mod redeem;
pub mod retry_key;
mod revoke;
pub mod token;

pub use binding::{Holder, Jkt};
pub use context::Context;
pub use decide::{Decision, Issue, Narrowing, Presented, Refusal, Verdict, decide, end_cause};
pub use reason::{EndCause, Reason};
pub use record::{HOT_LEN, MalformedRecord};
pub use redeem::redeem;
pub use revoke::revoke;

use std::sync::Arc;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ids::{ClientId, ContinuityId, Generation, RowVersion, SubjectId};
use crate::scope::Scopes;
use crate::time::{ServiceMillis, UnixMillis};
use context::{KnownNetworks, KnownSoftware};
use evidence::LateNote;
use retry_key::KeptRetryKeys;

/// One subject, on one client, on one device: the thing that lasts.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// What changes only when a user authenticates.
    pub grant: Arc<Grant>,
    /// What a refresh reads and writes.
    pub hot: Hot,
}

/// What the user agreed to, and when; it changes only when a user authenticates or a key is bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// Who is signed in.
    pub subject: SubjectId,
    /// At which client.
    pub client: ClientId,
    /// What was granted; a refresh narrows one access token, never this.
    pub scopes: Scopes,
    /// What the session hands to the one that replaces it.
    pub continuity: ContinuityId,
    /// Drawn at birth and never changed: every refresh token of the session is derived from it.
    pub secret: SessionSecret,
    /// When the user consented.
    pub born_at: UnixMillis,
    /// When the user last proved who they are: `auth_time` (OpenID Connect Core, 2).
    pub authenticated_at: UnixMillis,
    /// How: the `acr` of tokens (RFC 9068, 2.2.1).
    pub acr: Arc<str>,
    /// The absolute lifetime's end, moved only by a new authentication (INV-5).
    pub absolute_at: UnixMillis,
    /// The DPoP key that holds the session from [`Hot::bound_from`] on (RFC 9449, 5).
    pub bound_key: Option<Jkt>,
}

/// The fixed-size record that a refresh reads and writes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hot {
    /// Moves on with every write; a conditional write names the one it was decided on.
    pub version: RowVersion,
    /// Where the session stands.
    pub state: State,
    /// The generation of the current refresh token.
    pub generation: Generation,
    /// Whether the current token has been presented without rotating, so that the one before it is superseded.
    pub current_presented: bool,
    /// An old token was tried from a place that was never the owner's; the sign-in that follows is told.
    pub stranger_seen: bool,
    /// From this generation on tokens work only with a proof by the bound key.
    pub bound_from: Option<Generation>,
    /// When the current generation was made.
    pub rotated_at: ServiceMillis,
    /// The idle lifetime's end; for generation 0 the authorization code's.
    pub idle_at: ServiceMillis,
    /// When a token was last issued, for people to read.
    pub seen_at: UnixMillis,
    /// Tenths of a log-likelihood ratio: how much more likely two holders are than one.
    pub evidence: u16,
    /// The highest generation presented late, how it was judged, and when.
    pub late: Option<LateNote>,
    /// The retry keys of the last four rotations, each with the generation that it rotated.
    pub retry_keys: KeptRetryKeys,
    /// Where the last rotation came from.
    pub rotated_by: Context,
    /// The last four networks, each with the generation that first used it.
    pub networks: KnownNetworks,
    /// The last four kinds of software, each with the generation that first used it.
    pub software: KnownSoftware,
    /// The version of the policy that the session was last decided under.
    pub policy_version: u16,
}

/// Where a session stands. Expiry is computed and never written by a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Alive.
    Active,
    /// Ended with grace: alive at fewer scopes until then, and the end can be undone.
    Ending {
        /// Why it ends.
        cause: EndCause,
        /// When.
        until: ServiceMillis,
    },
    /// Evidence says two holders; nobody gets tokens until the user says who is who.
    Contested {
        /// When the session ends if the user does not.
        until: ServiceMillis,
    },
    /// Over.
    Ended {
        /// Why.
        cause: EndCause,
        /// When, for people to read.
        at: UnixMillis,
    },
}

/// 256 bits that every refresh token of one session is derived from.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SessionSecret(pub [u8; 32]);

impl std::fmt::Debug for SessionSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionSecret(..)")
    }
}

/// A session that begins: what [`Session::born`] needs beside the grant.
#[derive(Clone, Copy, Debug)]
pub struct Birth {
    /// Both clocks at the moment of consent.
    pub now: crate::time::Now,
    /// How long the authorization code may be redeemed, in milliseconds (RFC 6749, 4.1.2: at most 10 minutes).
    pub code_lifetime_ms: u64,
    /// The policy it is born under.
    pub policy_version: u16,
}

impl Session {
    /// A session at generation 0: consented to, its code not yet redeemed.
    #[must_use]
    pub fn born(grant: Grant, birth: Birth) -> Self {
        let hot = Hot {
            version: RowVersion(0),
            state: State::Active,
            generation: Generation(0),
            current_presented: false,
            stranger_seen: false,
            bound_from: None,
            rotated_at: birth.now.service,
            idle_at: birth.now.service.plus(birth.code_lifetime_ms),
            seen_at: birth.now.wall,
            evidence: 0,
            late: None,
            retry_keys: KeptRetryKeys::none(),
            rotated_by: Context::unknown(),
            networks: KnownNetworks::none(),
            software: KnownSoftware::none(),
            policy_version: birth.policy_version,
        };
        Self { grant: Arc::new(grant), hot }
    }
}
