//! Changes that no token asks for: ends by the user, an operator, the sweeper.

use crate::session::decide::end_cause;
use crate::session::{EndCause, Hot, Reason, Session, State};
use crate::time::Now;

/// What is to become of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It ends at once.
    End {
        /// Why.
        cause: EndCause,
    },
    /// Its lifetime has run out; written once, by the sweeper.
    Lapse,
}

/// The row as it becomes, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The row to write.
    pub next: Hot,
    /// For audit and metrics.
    pub reason: Reason,
}

/// Why a session was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// It is over already.
    #[error("the session has ended already")]
    AlreadyEnded,
    /// It lives: there is nothing to lapse.
    #[error("none of the session's lifetimes has run out")]
    StillAlive,
}

/// Decides a change.
///
/// # Errors
/// The session is not in a state that the change applies to; nothing is to be written.
pub fn change(s: &Session, change: Change, now: Now) -> Result<Changed, NotAllowed> {
    if matches!(s.hot.state, State::Ended { .. }) {
        return Err(NotAllowed::AlreadyEnded);
    }
    let (cause, reason) = match change {
        Change::End { cause } => (cause, Reason::EndedByChange),
        Change::Lapse => {
            let cause = end_cause(s, now).ok_or(NotAllowed::StillAlive)?;
            (cause, lapse_reason(cause))
        }
    };
    Ok(Changed { next: Hot { state: State::Ended { cause, at: now.wall }, ..s.hot }, reason })
}

const fn lapse_reason(cause: EndCause) -> Reason {
    match cause {
        EndCause::IdleExpiry => Reason::IdleExpired,
        EndCause::AbsoluteExpiry => Reason::AbsoluteExpired,
        EndCause::CodeExpiry => Reason::CodeExpired,
        EndCause::Revoked
        | EndCause::Logout
        | EndCause::CodeReuse
        | EndCause::TokenReuse
        | EndCause::PasswordChange
        | EndCause::SubjectDisabled
        | EndCause::ClientDisabled
        | EndCause::Operator
        | EndCause::Replaced
        | EndCause::ContestExpiry => Reason::EndedByChange,
    }
}
