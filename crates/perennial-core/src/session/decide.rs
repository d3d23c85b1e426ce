//! How a refresh is decided: one pure function over one row and one instant.
//!
//! Tokens are opened and proofs checked before it, tokens minted after it. What it says is applied as one
//! conditional write; whoever loses the race decides again on the winner's row and becomes a replay, so
//! concurrent holders get the same successor on any node, without locks (INV-1).

use crate::ids::Generation;
use crate::policy::{Rotation, Rules};
use crate::session::context::Context;
use crate::session::evidence::{self, Class, Dispute, LateNote};
use crate::session::retry_key::{KEPT_ROTATIONS, RetryKeyHash};
use crate::session::{EndCause, Grant, Holder, Hot, Jkt, Reason, Session, State};
use crate::time::Now;

/// How long a stale answer asks the client to reload its credentials before it becomes final: two minutes.
pub const STALE_FOR_MS: u64 = 120_000;

/// A token presented at the token endpoint, opened, its proofs checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The generation of the token.
    pub generation: Generation,
    /// The retry key that came with it.
    pub retry_key: Option<RetryKeyHash>,
    /// By what else the presenter is known.
    pub holder: Holder,
}

/// What comes of a presentation: the answer, why, and the row to write, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to answer.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The row as it must become before the answer leaves; `None` changes nothing.
    pub next: Option<Hot>,
    /// The key that the session is bound to from now on.
    pub bind: Option<Jkt>,
    /// What audit and metrics are told beside the reason.
    pub dispute: Option<Dispute>,
}

/// What to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Tokens.
    Issue {
        /// By which rule.
        by: Issue,
        /// The generation of the refresh token to mint.
        generation: Generation,
        /// What the access token may do.
        scopes: Narrowing,
    },
    /// None.
    Refuse(Refusal),
}

/// By which rule tokens are issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issue {
    /// The current token became the next.
    Rotate,
    /// The same, and the session is bound from here on.
    Bind,
    /// A new access token, the same refresh token.
    Renew,
    /// The same successor again: the answer was lost.
    Replay,
    /// The current token again, for an old one from its proven holder.
    Resync,
    /// The row caught up with what the store had lost, then rotated.
    FastForward,
}

/// What the access token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Narrowing {
    /// All that was granted.
    Granted,
    /// The grace scopes of an ending session.
    Grace,
}

/// Why no token is issued, as far as the answer's shape depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 409: a newer token was issued, the client's shared store has it.
    Stale,
    /// `invalid_grant`, final.
    Final,
    /// `invalid_grant`, but the client keeps its token: the user is asked.
    Contested,
    /// `invalid_grant`: the token is bound and its key did not come.
    Unbound,
    /// The user must authenticate before this goes on (RFC 9470); nothing is consumed.
    Challenge,
}

/// Decides a presentation of a refresh token.
#[must_use]
pub fn decide(s: &Session, p: &Presented, c: &Context, r: &Rules, now: Now) -> Decision {
    if let Some(reason) = expiry(s, now) {
        return refuse(Refusal::Final, reason);
    }
    match s.hot.state {
        State::Ended { .. } => return refuse(Refusal::Final, Reason::Ended),
        State::Contested { .. } => return refuse(Refusal::Contested, Reason::Contested),
        State::Ending { .. } | State::Active => {}
    }
    if lacks_its_key(&s.grant, &s.hot, p) {
        return refuse(Refusal::Unbound, Reason::BindingMissing);
    }
    let decision = by_generation(s, p, *c, r, now);
    match s.hot.state {
        State::Ending { .. } => without_rotation(&s.hot, decision),
        State::Active | State::Contested { .. } | State::Ended { .. } => decision,
    }
}

/// The lifetime that has run out, if one has; computed, never written by a decision (INV-5).
pub(crate) fn expiry(s: &Session, now: Now) -> Option<Reason> {
    if now.wall >= s.grant.absolute_at {
        return Some(Reason::AbsoluteExpired);
    }
    match s.hot.state {
        State::Ended { .. } => None,
        State::Ending { until, .. } | State::Contested { until } if now.service >= until => {
            Some(Reason::Ended)
        }
        State::Active | State::Ending { .. } | State::Contested { .. } if now.service >= s.hot.idle_at => {
            Some(if s.hot.generation == Generation(0) { Reason::CodeExpired } else { Reason::IdleExpired })
        }
        State::Active | State::Ending { .. } | State::Contested { .. } => None,
    }
}

/// Whether the presented token is bound and its key did not come; it is then worth nothing and harms nobody
/// (INV-4).
pub(crate) fn lacks_its_key(grant: &Grant, hot: &Hot, p: &Presented) -> bool {
    let (Some(key), Some(from)) = (grant.bound_key, hot.bound_from) else { return false };
    p.generation >= from && p.holder != Holder::Key(key)
}

/// What shows that the presenter is the holder, whatever the generation.
#[derive(Clone, Copy)]
enum Proof {
    Nothing,
    BoundKey,
    Client,
}

fn proof_of(grant: &Grant, p: &Presented) -> Proof {
    match p.holder {
        Holder::Client | Holder::ClientWithKey(_) => Proof::Client,
        Holder::Key(key) if grant.bound_key == Some(key) => Proof::BoundKey,
        Holder::Key(_) | Holder::Bearer => Proof::Nothing,
    }
}

fn by_generation(s: &Session, p: &Presented, c: Context, r: &Rules, now: Now) -> Decision {
    let hot = &s.hot;
    if p.generation > hot.generation {
        return fast_forward(s, p, c, r, now);
    }
    if p.generation == hot.generation {
        return current(s, p, c, r, now);
    }
    let is_predecessor = p.generation.next() == hot.generation && !hot.current_presented;
    match (is_predecessor, proof_of(&s.grant, p)) {
        (true, Proof::BoundKey) => issue(Issue::Replay, hot.generation, Reason::ReplayedByBoundKey, None),
        (true, Proof::Client) => issue(Issue::Replay, hot.generation, Reason::ReplayedByClient, None),
        (false, Proof::BoundKey) => issue(Issue::Resync, hot.generation, Reason::ResyncedByBoundKey, None),
        (false, Proof::Client) => issue(Issue::Resync, hot.generation, Reason::ResyncedByClient, None),
        (true, Proof::Nothing) => predecessor(hot, p, c, r, now),
        (false, Proof::Nothing) => superseded(hot, p, c, r, now),
    }
}

fn current(s: &Session, p: &Presented, c: Context, r: &Rules, now: Now) -> Decision {
    let hot = &s.hot;
    if rotates(s, p, r, now) {
        let evidence = hot.evidence.saturating_sub(r.weights.clean);
        let learnt = learn(Hot { evidence, ..*hot }, c, p.generation);
        return rotate(s, learnt, p, c, r, now);
    }
    let next = Hot { current_presented: true, ..touched(hot, &s.grant, r, now) };
    issue(Issue::Renew, hot.generation, Reason::Renewed, Some(next))
}

/// Whether a presentation of the current token rotates it; only a proven holder's may stay.
fn rotates(s: &Session, p: &Presented, r: &Rules, now: Now) -> bool {
    if matches!(proof_of(&s.grant, p), Proof::Nothing) {
        return true;
    }
    match r.rotation {
        Rotation::Always => true,
        Rotation::OlderThan { ms } => now.service.since(s.hot.rotated_at) >= ms,
        Rotation::Never => false,
    }
}

/// The row with the deadlines of a session that was just used; none ever passes the absolute lifetime.
fn touched(hot: &Hot, grant: &Grant, r: &Rules, now: Now) -> Hot {
    let left_ms = grant.absolute_at.0.saturating_sub(now.wall.0);
    let idle_at = now.service.plus(r.idle_ms.min(left_ms));
    Hot { idle_at, seen_at: now.wall, policy_version: r.policy_version, ..*hot }
}

/// Contexts are learnt from a token presented, without a dispute, by whoever obtained it.
///
/// A token whose own rotation was disputed was handed to two: whoever comes first with it proves nothing, or a
/// thief who always comes first would become known by it (INV-3).
fn learn(hot: Hot, c: Context, presented: Generation) -> Hot {
    let handed_to_two = hot.late.is_some_and(|note| note.generation.next() == presented);
    if c != hot.rotated_by || handed_to_two {
        return hot;
    }
    let networks = hot.networks.learn(c.network, presented);
    let software = hot.software.learn(c.software, presented);
    Hot { networks, software, ..hot }
}

fn rotate(s: &Session, hot: Hot, p: &Presented, c: Context, r: &Rules, now: Now) -> Decision {
    let generation = p.generation.next();
    let bind = match p.holder {
        Holder::Key(key) if s.grant.bound_key.is_none() && r.binds => Some(key),
        Holder::Key(_) | Holder::Bearer | Holder::Client | Holder::ClientWithKey(_) => None,
    };
    let next = Hot {
        generation,
        current_presented: false,
        bound_from: if bind.is_some() { Some(generation) } else { hot.bound_from },
        rotated_at: now.service,
        retry_keys: hot.retry_keys.after(p.generation, p.retry_key),
        rotated_by: c,
        ..touched(&hot, &s.grant, r, now)
    };
    let (by, reason) = match bind {
        Some(_) => (Issue::Bind, Reason::Bound),
        None => (Issue::Rotate, Reason::Rotated),
    };
    Decision { bind, ..issue(by, generation, reason, Some(next)) }
}

fn predecessor(hot: &Hot, p: &Presented, c: Context, r: &Rules, now: Now) -> Decision {
    if hot.retry_keys.proves(p.generation, p.retry_key.as_ref()) {
        return issue(Issue::Replay, hot.generation, Reason::ReplayedByRetryKey, None);
    }
    let age_ms = now.service.since(hot.rotated_at);
    if c == hot.rotated_by && age_ms < r.siblings_ms {
        return issue(Issue::Replay, hot.generation, Reason::ReplayedForSibling, None);
    }
    if age_ms < r.without_proof_ms && !hot.retry_keys.any_within_kept(hot.generation) {
        let (noted, dispute) = evidence::note_late(hot, c, r, now);
        let stands = issue(Issue::Replay, hot.generation, Reason::ReplayedLate, changed(hot, noted));
        return judged(stands, noted, dispute, r, now);
    }
    superseded(hot, p, c, r, now)
}

fn superseded(hot: &Hot, p: &Presented, c: Context, r: &Rules, now: Now) -> Decision {
    if hot.retry_keys.proves(p.generation, p.retry_key.as_ref()) {
        return stale_by_key(hot, p, Reason::StaleByRetryKey, now);
    }
    if p.retry_key.is_some() && p.generation.behind(hot.generation) > KEPT_ROTATIONS {
        return stale_by_key(hot, p, Reason::StaleByOldRetryKey, now);
    }
    // A rotation that a failover lost took its retry key with it; fast-forward noted it as presented late.
    if p.retry_key.is_some()
        && !hot.retry_keys.remembers(p.generation)
        && let Some(answer) = noted_before(hot, p, Reason::StaleUnproven, now)
    {
        return answer;
    }
    if r.reuse == crate::policy::Reuse::FirstDispute {
        let (noted, dispute) = evidence::note_superseded(hot, p.generation, r, now);
        return judged(refuse(Refusal::Final, Reason::Superseded), noted, dispute, r, now);
    }
    if evidence::class_at(hot, c, p.generation) != Class::Known {
        return from_a_stranger(hot, now);
    }
    if let Some(answer) = noted_before(hot, p, Reason::StaleUnproven, now) {
        return answer;
    }
    let (noted, dispute) = evidence::note_superseded(hot, p.generation, r, now);
    let stands = match dispute.class {
        Class::Known => refuse(Refusal::Stale, Reason::StaleUnproven),
        Class::NewNetwork | Class::NewSoftware => refuse(Refusal::Final, Reason::Superseded),
    };
    judged(Decision { next: Some(noted), ..stands }, noted, dispute, r, now)
}

/// Whoever was never seen where the holders parted has leftovers at most: he cannot pause the owner with them.
fn from_a_stranger(hot: &Hot, now: Now) -> Decision {
    let marked = Hot { stranger_seen: true, ..*hot };
    let answer = if now.service.since(hot.rotated_at) < STALE_FOR_MS {
        refuse(Refusal::Stale, Reason::StaleFromStranger)
    } else {
        refuse(Refusal::Final, Reason::StaleFromStranger)
    };
    Decision { next: changed(hot, marked), ..answer }
}

fn stale_by_key(hot: &Hot, p: &Presented, reason: Reason, now: Now) -> Decision {
    if let Some(answer) = noted_before(hot, p, reason, now) {
        return answer;
    }
    let late = Some(LateNote { generation: p.generation, class: Class::Known, at: now.service });
    Decision { next: Some(Hot { late, ..*hot }), ..refuse(Refusal::Stale, reason) }
}

/// The answer to a generation that is no higher than the highest noted: it counts no second time. While it is stale,
/// `reason` says whether this presentation was proven.
fn noted_before(hot: &Hot, p: &Presented, reason: Reason, now: Now) -> Option<Decision> {
    let note = hot.late.filter(|note| p.generation <= note.generation)?;
    let tells = p.generation == note.generation
        && note.class == Class::Known
        && now.service.since(note.at) < STALE_FOR_MS;
    Some(if tells { refuse(Refusal::Stale, reason) } else { refuse(Refusal::Final, Reason::Superseded) })
}

fn fast_forward(s: &Session, p: &Presented, c: Context, r: &Rules, now: Now) -> Decision {
    let proven = !matches!(proof_of(&s.grant, p), Proof::Nothing);
    if s.hot.generation.behind(p.generation) > r.failover_trust && !proven {
        return refuse(Refusal::Challenge, Reason::TooFarAhead);
    }
    let jumped = Generation(p.generation.0 - 1);
    let late = Some(LateNote { generation: jumped, class: Class::Known, at: now.service });
    let rotated = rotate(s, Hot { late, ..s.hot }, p, c, r, now);
    match rotated.verdict {
        Verdict::Issue { generation, scopes, .. } => Decision {
            verdict: Verdict::Issue { by: Issue::FastForward, generation, scopes },
            reason: Reason::FastForwarded,
            ..rotated
        },
        Verdict::Refuse(_) => rotated,
    }
}

/// `stands` with its evidence noted, unless the threshold was reached.
fn judged(stands: Decision, noted: Hot, dispute: Dispute, r: &Rules, now: Now) -> Decision {
    let (next, response) = evidence::respond(noted, r, now);
    let dispute = Some(dispute);
    match response.reason() {
        None => Decision { dispute, ..stands },
        Some(reason) => {
            let refusal = match next.state {
                State::Contested { .. } => Refusal::Contested,
                State::Active | State::Ending { .. } | State::Ended { .. } => Refusal::Final,
            };
            Decision { next: Some(next), dispute, ..refuse(refusal, reason) }
        }
    }
}

/// In an ending session nothing rotates: tokens that would be issued carry the grace scopes, and evidence is
/// only noted.
fn without_rotation(hot: &Hot, decision: Decision) -> Decision {
    let Verdict::Issue { by, .. } = decision.verdict else { return decision };
    let (by, reason, next) = match by {
        Issue::Rotate | Issue::Bind | Issue::Renew | Issue::FastForward => {
            (Issue::Renew, Reason::Renewed, None)
        }
        Issue::Replay | Issue::Resync => (by, decision.reason, decision.next),
    };
    let verdict = Verdict::Issue { by, generation: hot.generation, scopes: Narrowing::Grace };
    Decision { verdict, reason, next, bind: None, dispute: decision.dispute }
}

fn changed(before: &Hot, after: Hot) -> Option<Hot> {
    (*before != after).then_some(after)
}

pub(crate) fn issue(by: Issue, generation: Generation, reason: Reason, next: Option<Hot>) -> Decision {
    let verdict = Verdict::Issue { by, generation, scopes: Narrowing::Granted };
    Decision { verdict, reason, next, bind: None, dispute: None }
}

pub(crate) fn refuse(refusal: Refusal, reason: Reason) -> Decision {
    Decision { verdict: Verdict::Refuse(refusal), reason, next: None, bind: None, dispute: None }
}

/// Why an ended or expired session is over, for the answer.
#[must_use]
pub fn end_cause(s: &Session, now: Now) -> Option<EndCause> {
    match expiry(s, now) {
        Some(Reason::AbsoluteExpired) => return Some(EndCause::AbsoluteExpiry),
        Some(Reason::IdleExpired) => return Some(EndCause::IdleExpiry),
        Some(Reason::CodeExpired) => return Some(EndCause::CodeExpiry),
        Some(_) | None => {}
    }
    match s.hot.state {
        State::Ended { cause, .. } => Some(cause),
        State::Ending { cause, until } if now.service >= until => Some(cause),
        State::Contested { until } if now.service >= until => Some(EndCause::ContestExpiry),
        State::Active | State::Ending { .. } | State::Contested { .. } => None,
    }
}
