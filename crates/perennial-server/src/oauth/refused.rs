//! From a decision's refusal to the answer: one exhaustive match for the shape, one for the word that says why.

use perennial_core::session::{EndCause, Reason, Refusal as Verdict, Session, State, end_cause};
use perennial_core::{Now, UnixMillis};

use crate::clients::Client;
use crate::oauth::settle::Settled;
use crate::refusal::{Action, ErrorCode, Refusal};
use crate::service::Service;

/// The answer to a presentation that was refused.
pub(crate) fn refused(service: &Service, client: &Client, verdict: Verdict, settled: &Settled) -> Refusal {
    let Settled { decision, session, now } = settled;
    let cause = end_cause(session, *now);
    let reason = word(decision.reason, cause);
    match verdict {
        Verdict::Stale => Refusal::new(
            ErrorCode::Conflict,
            reason,
            "A newer refresh token was issued: read it again from where the client keeps it.",
        )
        .with_retry_after(1),
        Verdict::Final => Refusal::new(ErrorCode::InvalidGrant, reason, why(reason))
            .with_since(since(session, cause, *now))
            .with_continuity(session.grant.continuity),
        Verdict::Contested => Refusal::new(ErrorCode::InvalidGrant, reason, why(reason))
            .with_action(Action::Confirm)
            .with_continuity(session.grant.continuity),
        Verdict::Unbound => Refusal::new(ErrorCode::InvalidGrant, reason, why(reason)),
        Verdict::Challenge => Refusal::new(
            ErrorCode::InsufficientUserAuthentication,
            reason,
            "The user must sign in once more before this session goes on.",
        )
        .with_step_up(step_up_uri(service, client, session), 0)
        .with_continuity(session.grant.continuity),
    }
}

/// The word of the wire for a reason.
fn word(reason: Reason, cause: Option<EndCause>) -> &'static str {
    match reason {
        Reason::IdleExpired | Reason::CodeExpired => "expired_idle",
        Reason::AbsoluteExpired => "expired_absolute",
        Reason::Ended | Reason::EndedByChange => cause.map_or("revoked", word_of_cause),
        Reason::Revoked | Reason::CodeReused | Reason::EvidenceRevoked => "revoked",
        Reason::EvidenceContested | Reason::Contested => "contested",
        Reason::StaleByRetryKey
        | Reason::StaleByOldRetryKey
        | Reason::StaleUnproven
        | Reason::StaleFromStranger
        | Reason::Superseded => "superseded",
        Reason::BindingMissing | Reason::NothingRevoked => "binding",
        Reason::TooFarAhead => "too_far_ahead",
        Reason::Unknown
        // None of these refuses.
        | Reason::Born
        | Reason::Redeemed
        | Reason::RedeemedAgain
        | Reason::Rotated
        | Reason::Bound
        | Reason::Renewed
        | Reason::ReplayedByRetryKey
        | Reason::ReplayedByBoundKey
        | Reason::ReplayedByClient
        | Reason::ReplayedForSibling
        | Reason::ReplayedLate
        | Reason::ResyncedByBoundKey
        | Reason::ResyncedByClient
        | Reason::FastForwarded => "unknown",
    }
}

/// The word of the wire for why a session is over.
pub(crate) const fn word_of_cause(cause: EndCause) -> &'static str {
    match cause {
        EndCause::IdleExpiry | EndCause::CodeExpiry => "expired_idle",
        EndCause::AbsoluteExpiry => "expired_absolute",
        EndCause::Revoked
        | EndCause::Logout
        | EndCause::CodeReuse
        | EndCause::TokenReuse
        | EndCause::PasswordChange
        | EndCause::SubjectDisabled
        | EndCause::ClientDisabled
        | EndCause::Operator
        | EndCause::Replaced
        | EndCause::ContestExpiry => "revoked",
    }
}

fn why(word: &str) -> &'static str {
    match word {
        "expired_idle" => "It was not used in time: the user must sign in again.",
        "expired_absolute" => "The session is as old as it may become: the user must sign in again.",
        "revoked" => "The session has ended: the user must sign in again.",
        "contested" => {
            "The session is paused, because two holders seem to use it: the user must say who is who. Keep the token."
        }
        "superseded" => "A newer token took this one's place: the user must sign in again.",
        "binding" => "The token is bound to a key, and no proof by that key came with it.",
        _ => "The token or code is not known here.",
    }
}

/// Since when a session is over, in Unix seconds.
pub(crate) fn since(session: &Session, cause: Option<EndCause>, now: Now) -> Option<u64> {
    if let State::Ended { at, .. } = session.hot.state {
        return Some(at.seconds());
    }
    let at: UnixMillis = match cause? {
        EndCause::AbsoluteExpiry => session.grant.absolute_at,
        EndCause::IdleExpiry | EndCause::CodeExpiry => now.wall_of(session.hot.idle_at),
        EndCause::ContestExpiry
        | EndCause::Revoked
        | EndCause::Logout
        | EndCause::CodeReuse
        | EndCause::TokenReuse
        | EndCause::PasswordChange
        | EndCause::SubjectDisabled
        | EndCause::ClientDisabled
        | EndCause::Operator
        | EndCause::Replaced => match session.hot.state {
            State::Contested { until } | State::Ending { until, .. } => now.wall_of(until),
            State::Active | State::Ended { .. } => return None,
        },
    };
    Some(at.seconds())
}

/// An authorization request for the same session, to which a client adds its `state` and `code_challenge`.
fn step_up_uri(service: &Service, client: &Client, session: &Session) -> String {
    let endpoint = format!("{}/authorize?", service.issuer);
    let start = endpoint.len();
    let mut query = form_urlencoded::Serializer::for_suffix(endpoint, start);
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", client.id.as_str())
        .append_pair("scope", session.grant.scopes.as_str())
        .append_pair("max_age", "0");
    if let [only] = client.redirect_uris.as_slice() {
        query.append_pair("redirect_uri", only);
    }
    query.finish()
}
