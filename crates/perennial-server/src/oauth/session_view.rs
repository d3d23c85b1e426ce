//! The member `session`: what a session's own client may know of it.

use perennial_core::session::{Session, State, end_cause};
use perennial_core::{Now, SessionId};
use serde::Serialize;

use crate::oauth::refused;

/// A session as its client sees it; times are Unix seconds.
#[derive(Debug, Serialize)]
pub(crate) struct SessionView {
    id: String,
    state: &'static str,
    continuity: String,
    idle_expires_at: u64,
    absolute_expires_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<u64>,
    /// Seconds from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_after: Option<u64>,
    /// What the user interface should do: go on, say something, or ask for the user.
    advice: &'static str,
    /// Why it is over, where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
}

impl SessionView {
    /// The view at this instant.
    pub(crate) fn of(sid: SessionId, session: &Session, now: Now) -> Self {
        let (grant, hot) = (&session.grant, &session.hot);
        let cause = end_cause(session, now);
        let (state, advice, until) = match hot.state {
            _ if cause.is_some() => ("ended", "attend", None),
            State::Active => ("active", "fetch", None),
            State::Ending { until, .. } => ("ending", "warn", Some(until)),
            State::Contested { until } => ("contested", "attend", Some(until)),
            State::Ended { .. } => ("ended", "attend", None),
        };
        Self {
            id: sid.to_string(),
            state,
            continuity: grant.continuity.to_string(),
            idle_expires_at: now.wall_of(hot.idle_at).min(grant.absolute_at).seconds(),
            absolute_expires_at: grant.absolute_at.seconds(),
            ends_at: until.map(|until| now.wall_of(until).seconds()),
            refresh_after: None,
            advice,
            reason: cause.map(refused::word_of_cause),
            since: cause.and_then(|_| refused::since(session, cause, now)),
        }
    }

    /// With the moment at which an access token of `lifetime` seconds is best renewed: 70 % of it.
    pub(crate) fn refreshing_after(self, lifetime: u64) -> Self {
        Self { refresh_after: Some(lifetime * 7 / 10), ..self }
    }
}
