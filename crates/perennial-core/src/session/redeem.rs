//! The authorization code: the generation before the first, strict where a refresh token is lenient.
//!
//! Redeeming it is a rotation like any other. Redeemed again with the retry key of its redemption, the answer
//! was lost; redeemed again without, by the right client with the right verifier, it ends the session
//! (RFC 6749, 4.1.2), also when both come at once: the loser of the race decides on the winner's row.

use crate::ids::Generation;
use crate::policy::Rules;
use crate::session::context::Context;
use crate::session::decide::{Decision, Issue, Presented, Refusal, expiry, issue, refuse};
use crate::session::retry_key::KEPT_ROTATIONS;
use crate::session::{EndCause, Hot, Reason, Session, State};
use crate::time::Now;

const CODE: Generation = Generation(0);
const FIRST: Generation = Generation(1);

/// Decides a redemption of the session's authorization code; client, redirect URI and verifier were checked.
#[must_use]
pub fn redeem(s: &Session, p: &Presented, c: &Context, r: &Rules, now: Now) -> Decision {
    if let Some(reason) = expiry(s, now) {
        return refuse(Refusal::Final, reason);
    }
    let hot = &s.hot;
    match hot.state {
        State::Ended { .. } => return refuse(Refusal::Final, Reason::Ended),
        State::Contested { .. } => return refuse(Refusal::Contested, Reason::Contested),
        State::Ending { .. } | State::Active => {}
    }
    if hot.generation == CODE {
        return redeemed(s, p, *c, r, now);
    }
    if hot.retry_keys.proves(CODE, p.retry_key.as_ref()) {
        return if hot.generation == FIRST {
            issue(Issue::Replay, FIRST, Reason::RedeemedAgain, None)
        } else {
            refuse(Refusal::Stale, Reason::StaleByRetryKey)
        };
    }
    if p.retry_key.is_some() && CODE.behind(hot.generation) > KEPT_ROTATIONS {
        return refuse(Refusal::Final, Reason::StaleByOldRetryKey);
    }
    let next = Hot { state: State::Ended { cause: EndCause::CodeReuse, at: now.wall }, ..*hot };
    Decision { next: Some(next), ..refuse(Refusal::Final, Reason::CodeReused) }
}

fn redeemed(s: &Session, p: &Presented, c: Context, r: &Rules, now: Now) -> Decision {
    let left_ms = s.grant.absolute_at.0.saturating_sub(now.wall.0);
    let next = Hot {
        generation: FIRST,
        rotated_at: now.service,
        idle_at: now.service.plus(r.idle_ms.min(left_ms)),
        seen_at: now.wall,
        retry_keys: s.hot.retry_keys.after(CODE, p.retry_key),
        rotated_by: c,
        networks: s.hot.networks.learn(c.network, CODE),
        software: s.hot.software.learn(c.software, CODE),
        policy_version: r.policy_version,
        ..s.hot
    };
    issue(Issue::Rotate, FIRST, Reason::Redeemed, Some(next))
}
