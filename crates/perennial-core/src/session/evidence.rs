//! Evidence: how much more likely two holders are than one, in tenths of a log-likelihood ratio.
//!
//! How telling a disputed presentation is depends on where the two holders parted: the presented generation.
//! What either side used is held against what was known at that point. Integers only, so nothing depends on
//! rounding.

use crate::ids::Generation;
use crate::policy::{Reuse, Rules};
use crate::session::context::Context;
use crate::session::{EndCause, Hot, Reason, State};
use crate::time::{Now, ServiceMillis};

/// How foreign a context looks at the parting point, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Tabs, app and extension, wifi and cellular.
    Known,
    /// A network never used by then, with software that was.
    NewNetwork,
    /// Software never used by then.
    NewSoftware,
}

/// The highest generation presented late, as the row remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateNote {
    /// Which generation.
    pub generation: Generation,
    /// The worst class it was presented with.
    pub class: Class,
    /// When it was first presented late.
    pub at: ServiceMillis,
}

/// What kind of presentation was disputed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisputeKind {
    /// The predecessor, unproven, in time for a replay.
    Late,
    /// Anything older, or too late.
    Superseded,
}

/// A disputed presentation, as audit and metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispute {
    /// Which of the two kinds.
    pub kind: DisputeKind,
    /// How foreign it looked.
    pub class: Class,
    /// What it added, in tenths.
    pub added: u16,
}

/// What evidence at the threshold led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    /// Below it, or the policy only observes: the verdict stands.
    Stands,
    /// The session is now paused.
    Contested,
    /// The session is now over.
    Revoked,
}

/// The class of `context` held against what `hot` knew at `parting`.
pub(crate) fn class_at(hot: &Hot, context: Context, parting: Generation) -> Class {
    if !hot.software.known_at(context.software, parting) {
        Class::NewSoftware
    } else if !hot.networks.known_at(context.network, parting) {
        Class::NewNetwork
    } else {
        Class::Known
    }
}

/// The worst class that the live chain has used since `parting`.
pub(crate) fn chain_since(hot: &Hot, parting: Generation) -> Class {
    let rotation = class_at(hot, hot.rotated_by, parting);
    if hot.software.any_since(parting) {
        Class::NewSoftware
    } else if hot.networks.any_since(parting) {
        rotation.max(Class::NewNetwork)
    } else {
        rotation
    }
}

/// `hot` after a late presentation of the predecessor: per generation the worst class so far counts.
pub(crate) fn note_late(hot: &Hot, from: Context, rules: &Rules, now: Now) -> (Hot, Dispute) {
    let parting = Generation(hot.generation.0.saturating_sub(1));
    let class = class_at(hot, from, parting).max(class_at(hot, hot.rotated_by, parting));
    let before = hot.late.filter(|note| note.generation == parting);
    let counted = before.map_or(0, |note| rules.weights.late(note.class));
    let added = rules.weights.late(class).saturating_sub(counted);
    let late = LateNote {
        generation: parting,
        class: before.map_or(class, |note| note.class.max(class)),
        at: before.map_or(now.service, |note| note.at),
    };
    let evidence = hot.evidence.saturating_add(added);
    (Hot { late: Some(late), evidence, ..*hot }, Dispute { kind: DisputeKind::Late, class, added })
}

/// `hot` after a superseded token from a context known where the holders parted.
pub(crate) fn note_superseded(hot: &Hot, of: Generation, rules: &Rules, now: Now) -> (Hot, Dispute) {
    let class = chain_since(hot, of);
    let added = rules.weights.superseded(class);
    let late = Some(LateNote { generation: of, class, at: now.service });
    let evidence = hot.evidence.saturating_add(added);
    (Hot { late, evidence, ..*hot }, Dispute { kind: DisputeKind::Superseded, class, added })
}

/// What the policy makes of a dispute that was just noted in `hot`.
pub(crate) fn respond(hot: Hot, rules: &Rules, now: Now) -> (Hot, Response) {
    let due = match rules.reuse {
        Reuse::FirstDispute => true,
        Reuse::Weighed => hot.evidence >= rules.threshold,
    };
    if !due || !matches!(hot.state, State::Active) {
        return (hot, Response::Stands);
    }
    match rules.response {
        crate::policy::Response::Observe => (hot, Response::Stands),
        crate::policy::Response::Contest => {
            let until = now.service.plus(rules.contest_grace_ms);
            (Hot { state: State::Contested { until }, ..hot }, Response::Contested)
        }
        crate::policy::Response::Revoke => {
            let state = State::Ended { cause: EndCause::TokenReuse, at: now.wall };
            (Hot { state, ..hot }, Response::Revoked)
        }
    }
}

impl Response {
    /// The reason that a refusal carries because of it; none where the verdict stands.
    pub(crate) const fn reason(self) -> Option<Reason> {
        match self {
            Self::Stands => None,
            Self::Contested => Some(Reason::EvidenceContested),
            Self::Revoked => Some(Reason::EvidenceRevoked),
        }
    }
}
