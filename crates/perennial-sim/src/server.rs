//! The server: nodes around one real table, each request in five steps that a crash can fall between.
//!
//! Arrived (the token is opened), read (the row), decided (over the row as it was read), committed (one conditional
//! write, or a conflict and another decision), answered. What is decided is the core's, what is kept is the
//! store's; this file only carries the one to the other and words the answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use perennial_client::engine::HttpAnswer;
use perennial_core::policy::Rules;
use perennial_core::session::change::{Change, change};
use perennial_core::session::retry_key::{KeptRetryKeys, RetryKeyHash};
use perennial_core::session::token::{KeyRing, OpenedToken, ServerKey, TokenKind};
use perennial_core::session::{
    Decision, EndCause, Grant, Hot, Presented, Reason, Refusal, Session, Verdict, decide,
};
use perennial_core::write::{Applied, Durability, Event, Expect, Write};
use perennial_core::{Now, ServiceMillis, SessionId, UnixMillis};
use perennial_store::memory::{EventsKept, Table};
use perennial_testkit::Rng;

use crate::invariants::{Breach, Invariants, Settled};
use crate::network::Request;
use crate::world::{EPOCH_MS, Plan, Planted};

/// How many states of the table a replica may be behind by.
const REPLICA_LAG: usize = 12;
/// How much of the service clock a crash or failover loses at most.
const CLOCK_KEPT_EVERY_MS: u64 = 60_000;

pub(crate) struct Server {
    pub(crate) table: Table,
    ring: KeyRing,
    rules: Rules,
    planted: Option<Planted>,
    pub(crate) nodes: Vec<Node>,
    handling: BTreeMap<u64, Handling>,
    arrived: u64,
    /// The table before each write that a failover may still lose, oldest first.
    replica: VecDeque<Table>,
}

pub(crate) struct Node {
    pub(crate) is_up: bool,
    started_at_ms: u64,
    kept: ServiceMillis,
    /// How far the wall clock has fallen back.
    pub(crate) wall_behind_ms: u64,
}

struct Handling {
    node: usize,
    request: Request,
    stage: Stage,
}

enum Stage {
    Arrived,
    Opened {
        token: OpenedToken,
        presented: Presented,
    },
    Read {
        token: OpenedToken,
        presented: Presented,
        row: Session,
        read_step: u64,
    },
    Decided(Box<Settled>),
    /// Planted: the answer is gone, the write is still to come.
    AnsweredAlready(Box<Settled>),
    Committed(Box<Settled>),
}

/// What came of one step of a request.
pub(crate) enum Served {
    /// Its node died meanwhile, or all is done.
    Gone,
    /// There is another step to do.
    GoesOn(&'static str),
    /// The answer leaves.
    Answers { to: Box<Request>, answer: HttpAnswer, reason: Reason, goes_on: bool },
}

impl Server {
    pub(crate) fn new(plan: &Plan, dice: &mut Rng) -> Self {
        let mut secret = [0; 32];
        dice.fill(&mut secret);
        let node = || Node { is_up: true, started_at_ms: 0, kept: ServiceMillis(0), wall_behind_ms: 0 };
        Self {
            table: Table::new(EventsKept::Counted),
            ring: KeyRing::new(ServerKey { id: 1, secret }, Vec::new()),
            rules: plan.rules,
            planted: plan.planted,
            nodes: (0..plan.nodes).map(|_| node()).collect(),
            handling: BTreeMap::new(),
            arrived: 0,
            replica: VecDeque::new(),
        }
    }

    /// Takes a request in; `None` where the node is down.
    pub(crate) fn arrive(&mut self, node: usize, request: Request) -> Option<u64> {
        if !self.nodes[node].is_up {
            return None;
        }
        self.arrived += 1;
        self.handling.insert(self.arrived, Handling { node, request, stage: Stage::Arrived });
        Some(self.arrived)
    }

    /// The next step of a request.
    pub(crate) fn serve(
        &mut self,
        id: u64,
        at_ms: u64,
        step: u64,
        invariants: &mut Invariants,
    ) -> Result<Served, Breach> {
        let Some(Handling { node, request, stage }) = self.handling.remove(&id) else {
            return Ok(Served::Gone);
        };
        let (stage, did) = match stage {
            Stage::Arrived => match self.open(&request) {
                Ok((token, presented)) => (Stage::Opened { token, presented }, "opened"),
                Err(breach) => return Err(breach),
            },
            Stage::Opened { token, presented } => {
                let Some(row) = self.table.session(token.sid).cloned() else {
                    return Err(Breach::new(7, format!("the session {} is gone from the store", token.sid)));
                };
                (Stage::Read { token, presented, row, read_step: step }, "read")
            }
            Stage::Read { token, presented, row, read_step } => {
                let now = self.now(node, at_ms);
                let settled = self.settled(token.sid, presented, &request, row, now, read_step);
                (Stage::Decided(Box::new(settled)), "decided")
            }
            Stage::Decided(settled) if self.answers_early(&settled) => {
                let answer = self.leave(&settled, at_ms, invariants)?;
                let reason = settled.decision.reason;
                let to = Box::new(request.clone());
                self.put_back(id, node, request, Stage::AnsweredAlready(settled));
                return Ok(Served::Answers { to, answer, reason, goes_on: true });
            }
            Stage::Decided(settled) => match self.commit(&settled) {
                Ok(()) => (Stage::Committed(settled), "committed"),
                Err(row) => {
                    let now = self.now(node, at_ms);
                    let Settled { sid, presented, .. } = *settled;
                    let again = self.settled(sid, presented, &request, *row, now, step);
                    (Stage::Decided(Box::new(again)), "lost the race, decided again")
                }
            },
            Stage::AnsweredAlready(settled) => {
                // Whatever comes of the write, the answer has left.
                let _too_late = self.commit(&settled);
                return Ok(Served::Gone);
            }
            Stage::Committed(settled) => {
                let answer = self.leave(&settled, at_ms, invariants)?;
                let reason = settled.decision.reason;
                return Ok(Served::Answers { to: Box::new(request), answer, reason, goes_on: false });
            }
        };
        self.put_back(id, node, request, stage);
        Ok(Served::GoesOn(did))
    }

    fn put_back(&mut self, id: u64, node: usize, request: Request, stage: Stage) {
        self.handling.insert(id, Handling { node, request, stage });
    }

    /// Every token that reaches this server was minted by it.
    fn open(&self, request: &Request) -> Result<(OpenedToken, Presented), Breach> {
        let token = self
            .ring
            .open(TokenKind::Refresh, &request.token)
            .map_err(|why| Breach::new(6, format!("a token of ours was not recognised: {why}")))?;
        let retry_key = match request.retry_key.as_deref().map(RetryKeyHash::of_parameter) {
            None => None,
            Some(Ok(hash)) => Some(hash),
            Some(Err(why)) => {
                return Err(Breach::new(2, format!("the engine's retry key is refused: {why}")));
            }
        };
        let presented = Presented { generation: token.generation, retry_key, holder: request.holder };
        Ok((token, presented))
    }

    fn settled(
        &self,
        sid: SessionId,
        presented: Presented,
        request: &Request,
        before: Session,
        now: Now,
        read_step: u64,
    ) -> Settled {
        let decision = self.judge(&before, &presented, request, now);
        let context = request.context;
        Settled { sid, presented, context, before, decision, now, read_step }
    }

    /// The core's decision; the rest is what was planted.
    fn judge(&self, row: &Session, presented: &Presented, request: &Request, now: Now) -> Decision {
        let (mut row, mut presented) = (row.clone(), *presented);
        match self.planted {
            Some(Planted::PredecessorRotated) if presented.generation < row.hot.generation => {
                presented.generation = row.hot.generation;
            }
            Some(Planted::AbsoluteLifetimeIgnored) => {
                row.grant = Arc::new(Grant { absolute_at: UnixMillis(u64::MAX), ..(*row.grant).clone() });
            }
            Some(_) | None => {}
        }
        let mut decision = decide(&row, &presented, &request.context, &self.rules, now);
        match (self.planted, decision.verdict) {
            (Some(Planted::RetryKeysForgotten), Verdict::Issue { .. }) => {
                decision.next = decision.next.map(|next| Hot { retry_keys: KeptRetryKeys::none(), ..next });
            }
            (Some(Planted::RefusalExtends), Verdict::Refuse(Refusal::Stale)) => {
                let next = decision.next.unwrap_or(row.hot);
                decision.next = Some(Hot { idle_at: next.idle_at.plus(1_000), ..next });
            }
            (Some(_) | None, _) => {}
        }
        decision
    }

    fn answers_early(&self, settled: &Settled) -> bool {
        self.planted == Some(Planted::AnsweredBeforeCommit) && settled.decision.next.is_some()
    }

    /// One conditional write; the row that stands, where it is no longer the one that was read.
    fn commit(&mut self, settled: &Settled) -> Result<(), Box<Session>> {
        let Some(mut write) = write_of(settled) else { return Ok(()) };
        if self.planted == Some(Planted::VersionUnchecked)
            && let Some(standing) = self.table.session(settled.sid)
        {
            write.expect = Expect::Version(standing.hot.version);
        }
        match self.apply(write) {
            Applied::Applied(_) => Ok(()),
            Applied::Conflict(row) => Err(row),
            Applied::Absent | Applied::Consumed => Err(Box::new(settled.before.clone())),
        }
    }

    /// Applies a write, and keeps what a failover could bring back.
    pub(crate) fn apply(&mut self, write: Write) -> Applied {
        let durability = write.durability;
        let before = self.table.clone();
        let applied = self.table.apply(write);
        if matches!(applied, Applied::Applied(_)) {
            match durability {
                Durability::Local => {
                    self.replica.push_back(before);
                    if self.replica.len() > REPLICA_LAG {
                        self.replica.pop_front();
                    }
                }
                // The replica acknowledged it, and with it all that went before.
                Durability::Replicated => self.replica.clear(),
            }
        }
        applied
    }

    /// The answer, after the invariants have seen it.
    fn leave(
        &self,
        settled: &Settled,
        at_ms: u64,
        invariants: &mut Invariants,
    ) -> Result<HttpAnswer, Breach> {
        invariants.answer_leaves(settled, &self.table, at_ms)?;
        Ok(match settled.decision.verdict {
            Verdict::Issue { generation, .. } => {
                let grant = &settled.before.grant;
                let refresh_token =
                    self.ring.mint(TokenKind::Refresh, &grant.secret, settled.sid, generation);
                let left_ms = grant.absolute_at.0.saturating_sub(settled.now.wall.0);
                let lifetime_ms = self.rules.access_lifetime_ms.min(left_ms);
                let access = invariants.access_issued(settled.sid, at_ms, lifetime_ms);
                issued(settled.sid, &refresh_token, access, lifetime_ms, settled.now)
            }
            Verdict::Refuse(refusal) => refused(refusal, settled.decision.reason, settled.now),
        })
    }

    /// Both clocks as a node reads them.
    pub(crate) fn now(&self, node: usize, at_ms: u64) -> Now {
        let node = &self.nodes[node];
        Now {
            wall: UnixMillis((EPOCH_MS + at_ms).saturating_sub(node.wall_behind_ms)),
            service: node.kept.plus(at_ms.saturating_sub(node.started_at_ms)),
        }
    }

    /// Kills a node: what it was handling is gone.
    pub(crate) fn kill(&mut self, node: usize, at_ms: u64, dice: &mut Rng) {
        let lost_ms = dice.below(CLOCK_KEPT_EVERY_MS);
        let kept = ServiceMillis(self.now(node, at_ms).service.0.saturating_sub(lost_ms));
        self.table.keep_service_clock(kept);
        self.nodes[node].is_up = false;
        self.handling.retain(|_, handling| handling.node != node);
    }

    pub(crate) fn start(&mut self, node: usize, at_ms: u64) {
        for other in (0..self.nodes.len()).filter(|other| self.nodes[*other].is_up) {
            let running = self.now(other, at_ms).service.0;
            self.table.keep_service_clock(ServiceMillis(running.saturating_sub(CLOCK_KEPT_EVERY_MS)));
        }
        let kept = self.table.service_clock();
        let wall_behind_ms = self.nodes[node].wall_behind_ms;
        self.nodes[node] = Node { is_up: true, started_at_ms: at_ms, kept, wall_behind_ms };
    }

    /// All nodes die, and go on from a replica that lacks the last rotations: no more of any session than the
    /// policy's `failover.trust` covers. Says how many writes were lost.
    pub(crate) fn fail_over(&mut self, at_ms: u64, dice: &mut Rng, invariants: &mut Invariants) -> usize {
        for node in 0..self.nodes.len() {
            self.kill(node, at_ms, dice);
        }
        let clock = self.table.service_clock();
        let acknowledged = self.replica.len();
        let mut kept = dice.index(acknowledged + 1);
        while kept < acknowledged && !invariants.covers(&self.replica[kept], self.rules.failover_trust) {
            kept += 1;
        }
        if let Some(behind) = self.replica.get(kept) {
            self.table = behind.clone();
            self.table.keep_service_clock(ServiceMillis(clock.0.saturating_sub(CLOCK_KEPT_EVERY_MS)));
        }
        self.replica.truncate(kept);
        invariants.failed_over(&self.table);
        for node in 0..self.nodes.len() {
            self.start(node, at_ms);
        }
        acknowledged - kept
    }

    /// An operator ends a session, whatever is under way for it.
    pub(crate) fn end(&mut self, sid: SessionId, at_ms: u64) -> bool {
        let Some(row) = self.table.session(sid).cloned() else { return false };
        let now = self.now(0, at_ms);
        let Ok(changed) = change(&row, Change::End { cause: EndCause::Operator }, now) else { return false };
        let write = Write {
            sid,
            expect: Expect::Version(row.hot.version),
            hot: changed.next,
            grant: None,
            ticket: None,
            event: event(changed.reason, &changed.next, now),
            durability: Durability::Replicated,
        };
        matches!(self.apply(write), Applied::Applied(_))
    }

    /// The refresh token of a session that was just redeemed, for the device that its user sits at.
    pub(crate) fn first_answer(
        &self,
        sid: SessionId,
        session: &Session,
        now: Now,
        at_ms: u64,
        invariants: &mut Invariants,
    ) -> HttpAnswer {
        let lifetime_ms = self.rules.access_lifetime_ms;
        let refresh_token =
            self.ring.mint(TokenKind::Refresh, &session.grant.secret, sid, session.hot.generation);
        let access = invariants.access_issued(sid, at_ms, lifetime_ms);
        issued(sid, &refresh_token, access, lifetime_ms, now)
    }
}

/// The write of a decision: with its event, and saying whether fast-forward could mend its loss.
fn write_of(settled: &Settled) -> Option<Write> {
    let Settled { sid, presented, before, decision, now, .. } = settled;
    let hot = decision.next?;
    let grant = decision.bind.map(|key| Arc::new(Grant { bound_key: Some(key), ..(*before.grant).clone() }));
    let is_mended = hot.state == before.hot.state && grant.is_none() && decision.dispute.is_none();
    Some(Write {
        sid: *sid,
        expect: Expect::Version(before.hot.version),
        hot,
        grant,
        ticket: None,
        event: Event {
            presented: Some(presented.generation),
            dispute: decision.dispute,
            ..event(decision.reason, &hot, *now)
        },
        durability: if is_mended { Durability::Local } else { Durability::Replicated },
    })
}

/// What the audit is told of a change that no token asked for.
pub(crate) const fn event(reason: Reason, hot: &Hot, now: Now) -> Event {
    Event {
        at: now.wall,
        reason,
        generation: hot.generation,
        presented: None,
        dispute: None,
        evidence: hot.evidence,
        request_id: None,
    }
}

/// The access token with this number; no signature, since nobody here forges.
fn access_token(number: u64) -> String {
    format!("access-token-{number}")
}

/// The number of an access token that this server issued; 0 for none of ours.
pub(crate) fn access_number(token: &str) -> u64 {
    token.strip_prefix("access-token-").and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// RFC 6749, 5.1.
fn issued(sid: SessionId, refresh_token: &str, access: u64, lifetime_ms: u64, now: Now) -> HttpAnswer {
    let body = serde_json::json!({
        "access_token": access_token(access),
        "token_type": "Bearer",
        "expires_in": lifetime_ms / 1_000,
        "refresh_token": refresh_token,
        "session": { "id": sid.to_string(), "state": "active" },
    });
    json(200, &body, now)
}

/// RFC 6749, 5.2, with the members that Perennial adds.
fn refused(refusal: Refusal, reason: Reason, now: Now) -> HttpAnswer {
    let (status, error, retryable, action) = match refusal {
        Refusal::Stale => (409, "conflict", true, "reload_credentials"),
        Refusal::Final | Refusal::Unbound => (400, "invalid_grant", false, "reauthenticate"),
        Refusal::Contested => (400, "invalid_grant", false, "confirm"),
        Refusal::Challenge => (400, "insufficient_user_authentication", false, "step_up"),
    };
    let body = serde_json::json!({
        "error": error, "retryable": retryable, "action": action, "reason": reason.as_str(),
    });
    let answer = json(status, &body, now);
    HttpAnswer { retry_after: retryable.then(|| "1".to_owned()), ..answer }
}

fn json(status: u16, body: &serde_json::Value, now: Now) -> HttpAnswer {
    HttpAnswer {
        status,
        content_type: Some("application/json".to_owned()),
        retry_after: None,
        date: Some(httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(now.wall.0))),
        body: body.to_string().into_bytes().into(),
    }
}
