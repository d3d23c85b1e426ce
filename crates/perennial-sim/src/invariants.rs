//! What must hold at every step, whatever goes wrong: invariants 1, 2, 5, 6, 7 and 8 of the session model.
//!
//! They are kept apart from the rules that they judge: their own record of what was issued, stored, acknowledged
//! and ended, and the core's decision asked again where an invariant speaks of asking again.
//!
//! Every client here is honest: it follows the rule of the retry key, so INV-2 forbids any evidence against it.

use std::collections::{BTreeMap, BTreeSet};

use perennial_core::policy::Rules;
use perennial_core::session::{
    Context, Decision, Hot, Issue, Presented, Reason, Refusal, Session, State, Verdict, decide,
};
use perennial_core::{Generation, Now, SessionId, UnixMillis};
use perennial_store::memory::Table;

use crate::server::CLOCK_KEPT_EVERY_MS;
use crate::world::EPOCH_MS;

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Breach {
    pub(crate) invariant: u8,
    pub(crate) what: String,
}

impl Breach {
    pub(crate) const fn new(invariant: u8, what: String) -> Self {
        Self { invariant, what }
    }
}

/// A decision, with all that it was taken over.
#[derive(Clone)]
pub(crate) struct Settled {
    pub(crate) sid: SessionId,
    pub(crate) presented: Presented,
    pub(crate) context: Context,
    /// The row as it was read.
    pub(crate) before: Session,
    pub(crate) decision: Decision,
    pub(crate) now: Now,
    /// The step in which the row was read.
    pub(crate) read_step: u64,
}

/// What is known of a session without asking its row.
struct Known {
    absolute_at: UnixMillis,
    /// The step in which its end became durable.
    ended_in: Option<u64>,
    /// The highest generation that was ever durable.
    ever_durable: Generation,
    /// The row's generation, which only a failover may lower.
    floor: Generation,
    /// When the idle deadline was last moved.
    used_ms: u64,
    /// A client was rightly told that it is over; a node whose clock is behind may still serve a late request.
    was_told: bool,
}

/// An access token as the API knows it.
#[derive(Clone, Copy)]
pub(crate) struct Access {
    pub(crate) sid: SessionId,
    pub(crate) issued_ms: u64,
    pub(crate) expires_ms: u64,
}

pub(crate) struct Invariants {
    rules: Rules,
    sessions: BTreeMap<SessionId, Known>,
    /// INV-1: the one successor that each generation was ever given.
    successors: BTreeMap<(SessionId, Generation), Generation>,
    issued: Vec<Access>,
    /// The access tokens that reached a credential file.
    stored: BTreeSet<u64>,
}

impl Invariants {
    pub(crate) const fn new(rules: Rules) -> Self {
        Self {
            rules,
            sessions: BTreeMap::new(),
            successors: BTreeMap::new(),
            issued: Vec::new(),
            stored: BTreeSet::new(),
        }
    }

    pub(crate) fn born(&mut self, sid: SessionId, session: &Session, at_ms: u64) {
        let generation = session.hot.generation;
        let known = Known {
            absolute_at: session.grant.absolute_at,
            ended_in: None,
            ever_durable: generation,
            floor: generation,
            used_ms: at_ms,
            was_told: false,
        };
        self.sessions.insert(sid, known);
    }

    pub(crate) fn ended(&mut self, sid: SessionId, step: u64) {
        if let Some(known) = self.sessions.get_mut(&sid) {
            known.ended_in.get_or_insert(step);
        }
    }

    /// Numbers an access token; from 1.
    pub(crate) fn access_issued(&mut self, sid: SessionId, issued_ms: u64, lifetime_ms: u64) -> u64 {
        self.issued.push(Access { sid, issued_ms, expires_ms: issued_ms.saturating_add(lifetime_ms) });
        self.issued.len() as u64
    }

    pub(crate) fn access(&self, number: u64) -> Option<Access> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.issued.get(index).copied()
    }

    pub(crate) fn access_stored(&mut self, number: u64) {
        self.stored.insert(number);
    }

    /// Whether a replica in this state has lost no more than fast-forward is trusted with.
    pub(crate) fn covers(&self, replica: &Table, trust: u32) -> bool {
        self.sessions.iter().all(|(sid, known)| {
            replica.session(*sid).is_some_and(|row| row.hot.generation.behind(known.ever_durable) <= trust)
        })
    }

    pub(crate) fn failed_over(&mut self, table: &Table) {
        for (sid, known) in &mut self.sessions {
            if let Some(row) = table.session(*sid) {
                known.floor = row.hot.generation;
            }
        }
    }

    /// After every step: the rows are as acknowledged, and no honest holder is held for two.
    pub(crate) fn rows_hold(&mut self, table: &Table) -> Result<(), Breach> {
        for (sid, known) in &mut self.sessions {
            let Some(row) = table.session(*sid) else {
                return Err(Breach::new(7, format!("the session {sid} was acknowledged and is gone")));
            };
            let hot = &row.hot;
            if known.ended_in.is_some() {
                if !matches!(hot.state, State::Ended { .. }) {
                    return Err(Breach::new(5, format!("the session {sid} had ended and lives again")));
                }
                continue;
            }
            if hot.generation < known.floor {
                let (now, was) = (hot.generation.0, known.floor.0);
                return Err(Breach::new(
                    7,
                    format!("generation {was} was durable, and now the row has {now}"),
                ));
            }
            known.floor = hot.generation;
            known.ever_durable = known.ever_durable.max(hot.generation);
            if row.grant.absolute_at != known.absolute_at {
                return Err(Breach::new(5, format!("the absolute lifetime of {sid} was moved")));
            }
            if hot.evidence != 0 || hot.state != State::Active {
                let what =
                    format!("an honest client is held for two: {} tenths, {:?}", hot.evidence, hot.state);
                return Err(Breach::new(2, what));
            }
        }
        Ok(())
    }

    /// Before an answer leaves the server.
    pub(crate) fn answer_leaves(
        &mut self,
        settled: &Settled,
        table: &Table,
        at_ms: u64,
    ) -> Result<(), Breach> {
        match settled.decision.verdict {
            Verdict::Issue { by, generation, .. } => {
                self.within_lifetime(settled, by, at_ms)?;
                self.one_successor(settled, by, generation)?;
                is_durable(settled, generation, table)?;
                self.same_again(settled, generation)?;
            }
            Verdict::Refuse(Refusal::Stale) => self.consumed_nothing(settled)?,
            Verdict::Refuse(Refusal::Final) => ended_nothing(settled)?,
            Verdict::Refuse(refusal @ (Refusal::Contested | Refusal::Unbound | Refusal::Challenge)) => {
                let what = format!("an honest client was refused: {refusal:?}, {}", settled.decision.reason);
                return Err(Breach::new(2, what));
            }
        }
        match settled.decision.dispute {
            Some(dispute) => Err(Breach::new(2, format!("evidence against an honest client: {dispute:?}"))),
            None => Ok(()),
        }
    }

    /// INV-5: nothing is issued past the absolute lifetime or, on a row read after it, past the end.
    fn within_lifetime(&mut self, settled: &Settled, by: Issue, at_ms: u64) -> Result<(), Breach> {
        let Some(known) = self.sessions.get_mut(&settled.sid) else {
            return Err(Breach::new(5, format!("tokens for {}, which was never born", settled.sid)));
        };
        if settled.now.wall >= known.absolute_at {
            let past = settled.now.wall.0 - known.absolute_at.0;
            return Err(Breach::new(5, format!("tokens {past} ms past the absolute lifetime")));
        }
        if known.ended_in.is_some_and(|ended| ended < settled.read_step) {
            return Err(Breach::new(5, "tokens for a session that had ended before its row was read".into()));
        }
        match by {
            Issue::Rotate | Issue::Bind | Issue::Renew | Issue::FastForward => known.used_ms = at_ms,
            // Replays never move a lifetime.
            Issue::Replay | Issue::Resync => {}
        }
        Ok(())
    }

    fn one_successor(&mut self, settled: &Settled, by: Issue, generation: Generation) -> Result<(), Breach> {
        let presented = settled.presented.generation;
        match by {
            Issue::Rotate | Issue::Bind | Issue::Replay | Issue::FastForward => {
                let place = (settled.sid, presented);
                let first = *self.successors.entry(place).or_insert(generation);
                if first != generation {
                    let (of, a, b) = (presented.0, first.0, generation.0);
                    let what = format!("two different successors of generation {of}: {a} and {b}");
                    return Err(Breach::new(1, what));
                }
                Ok(())
            }
            // The current token again; it is nobody's successor here.
            Issue::Renew | Issue::Resync if generation == settled.before.hot.generation => Ok(()),
            Issue::Renew | Issue::Resync => {
                let what = format!("{by:?} gave generation {}, which is not the row's", generation.0);
                Err(Breach::new(1, what))
            }
        }
    }

    /// INV-6, at a later time: past every window, so that only what the row remembers can prove the retry.
    fn same_again(&self, settled: &Settled, generation: Generation) -> Result<(), Breach> {
        let after = after(settled);
        let windows_ms = self.rules.siblings_ms.max(self.rules.without_proof_ms);
        let service = settled.now.service.plus(windows_ms.saturating_add(1));
        // An unproven replay is good for a window; what was rotated or proven is good for ever.
        let is_windowed =
            matches!(settled.decision.reason, Reason::ReplayedForSibling | Reason::ReplayedLate);
        let is_within = !is_windowed && service < after.hot.idle_at;
        let later = if is_within { Now { service, ..settled.now } } else { settled.now };
        let again = decide(&after, &settled.presented, &settled.context, &self.rules, later);
        match again.verdict {
            Verdict::Issue { generation: same, .. } if same == generation => Ok(()),
            Verdict::Issue { generation: other, .. } => {
                let what = format!("the same request again gave {}, not {}", other.0, generation.0);
                Err(Breach::new(6, what))
            }
            Verdict::Refuse(refusal) => {
                let what = format!("the same request again was refused: {refusal:?}, {}", again.reason);
                Err(Breach::new(6, what))
            }
        }
    }

    /// INV-8.
    fn consumed_nothing(&self, settled: &Settled) -> Result<(), Breach> {
        let (before, after) = (settled.before.hot, after(settled));
        let noted = Hot {
            version: before.version,
            late: before.late,
            stranger_seen: before.stranger_seen,
            evidence: before.evidence,
            ..after.hot
        };
        if noted != before {
            return Err(Breach::new(8, "a retriable refusal changed more than evidence".into()));
        }
        let again = decide(&after, &settled.presented, &settled.context, &self.rules, settled.now);
        if again.next.is_some() {
            return Err(Breach::new(8, "a retriable refusal counted twice".into()));
        }
        Ok(())
    }

    /// INV-2, where an engine holds its sign-in to be over.
    pub(crate) fn signed_out(&mut self, sid: Option<SessionId>, at_ms: u64) -> Result<(), Breach> {
        let Some(sid) = sid.filter(|sid| self.sessions.contains_key(sid)) else {
            return Err(Breach::new(2, "signed out of a session that was never born".into()));
        };
        if !self.is_over(sid, at_ms) {
            return Err(Breach::new(2, format!("an honest client was signed out of {sid}, which lives")));
        }
        if let Some(known) = self.sessions.get_mut(&sid) {
            known.was_told = true;
        }
        Ok(())
    }

    /// Whether a session is over by what is known of it.
    pub(crate) fn is_over(&self, sid: SessionId, at_ms: u64) -> bool {
        let Some(known) = self.sessions.get(&sid) else { return true };
        // Nodes' service clocks are apart by as much, and the idle deadline is cut to the absolute one.
        let latest_ms = at_ms + CLOCK_KEPT_EVERY_MS;
        known.was_told
            || known.ended_in.is_some()
            || EPOCH_MS + latest_ms >= known.absolute_at.0
            || latest_ms.saturating_sub(known.used_ms) >= self.rules.idle_ms
    }

    /// INV-7 on the device's side: nobody gets a token that is not stored.
    pub(crate) fn handed_out(&self, number: u64) -> Result<Access, Breach> {
        let Some(access) = self.access(number) else {
            return Err(Breach::new(
                7,
                format!("an access token was handed out that nobody issued: {number}"),
            ));
        };
        if !self.stored.contains(&number) {
            return Err(Breach::new(7, format!("access token {number} was handed out and never stored")));
        }
        Ok(access)
    }
}

/// The row as the decision leaves it.
fn after(settled: &Settled) -> Session {
    let mut after = settled.before.clone();
    if let Some(next) = settled.decision.next {
        after.hot = Hot { version: after.hot.version.next(), ..next };
    }
    if let Some(key) = settled.decision.bind {
        let grant = perennial_core::session::Grant { bound_key: Some(key), ..(*after.grant).clone() };
        after.grant = grant.into();
    }
    after
}

/// INV-7: the generation that an answer carries is in the store when the answer leaves.
fn is_durable(settled: &Settled, generation: Generation, table: &Table) -> Result<(), Breach> {
    let durable = table.session(settled.sid).map_or(Generation(0), |row| row.hot.generation);
    if generation > durable {
        let what = format!("generation {} was acknowledged, {} is durable", generation.0, durable.0);
        return Err(Breach::new(7, what));
    }
    Ok(())
}

/// A final refusal tells; it ends nothing that lived, and it is no evidence.
fn ended_nothing(settled: &Settled) -> Result<(), Breach> {
    let before = &settled.before.hot;
    let Some(next) = settled.decision.next else { return Ok(()) };
    if next.state == before.state && next.generation == before.generation && next.evidence == before.evidence
    {
        return Ok(());
    }
    Err(Breach::new(2, format!("an honest client's presentation ended it: {}", settled.decision.reason)))
}
