//! `/revoke` with a refresh token (RFC 7009): a presentation like any other, that ends instead of issuing.

use crate::policy::Rules;
use crate::session::context::Context;
use crate::session::decide::{Decision, Presented, Refusal, Verdict, decide, lacks_its_key, refuse};
use crate::session::{EndCause, Hot, Reason, Session, State};
use crate::time::Now;

/// Decides a revocation. The verdict is always a refusal: the answer is 200 whatever it says.
///
/// The current token or its predecessor ends the session; a superseded one is a dispute; a bound one without
/// its key changes nothing.
#[must_use]
pub fn revoke(s: &Session, p: &Presented, c: &Context, r: &Rules, now: Now) -> Decision {
    let hot = &s.hot;
    if matches!(hot.state, State::Ended { .. }) {
        return refuse(Refusal::Final, Reason::Ended);
    }
    if lacks_its_key(&s.grant, hot, p) {
        return refuse(Refusal::Unbound, Reason::NothingRevoked);
    }
    let is_predecessor = p.generation.next() == hot.generation && !hot.current_presented;
    if p.generation >= hot.generation || is_predecessor {
        let state = State::Ended { cause: EndCause::Revoked, at: now.wall };
        return Decision { next: Some(Hot { state, ..*hot }), ..refuse(Refusal::Final, Reason::Revoked) };
    }
    let disputed = decide(s, p, c, r, now);
    match disputed.verdict {
        // A proven holder's superseded token would be answered with the current one: theirs to end.
        Verdict::Issue { .. } => {
            let state = State::Ended { cause: EndCause::Revoked, at: now.wall };
            Decision { next: Some(Hot { state, ..*hot }), ..refuse(Refusal::Final, Reason::Revoked) }
        }
        Verdict::Refuse(_) => disputed,
    }
}
