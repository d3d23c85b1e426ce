//! Why: the one value that becomes the HTTP answer, the audit event, the metric label and the timeline's line.

use std::fmt;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $code,)* }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name, in snake case, for logs, metrics and the audit.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The stable number that records carry.
            #[must_use]
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// The one with this number, if there is one.
            #[must_use]
            pub const fn of_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

named! {
    /// Why a session ended.
    EndCause {
        /// The client revoked its token (RFC 7009, 2.1).
        Revoked = 1 "revoked",
        /// The user signed out.
        Logout = 2 "logout",
        /// Its authorization code was redeemed again by somebody who did not redeem it first (RFC 6749, 4.1.2).
        CodeReuse = 3 "code_reuse",
        /// An old refresh token came back and the policy says revoke (RFC 9700, 4.14).
        TokenReuse = 4 "token_reuse",
        /// The user changed the password.
        PasswordChange = 5 "password_change",
        /// The account was disabled or removed.
        SubjectDisabled = 6 "subject_disabled",
        /// The client was disabled or removed.
        ClientDisabled = 7 "client_disabled",
        /// An operator ended it.
        Operator = 8 "operator",
        /// Another session took its place and its continuity.
        Replaced = 9 "replaced",
        /// Not used for its idle lifetime.
        IdleExpiry = 10 "idle_expiry",
        /// As old as it may become without a new authentication.
        AbsoluteExpiry = 11 "absolute_expiry",
        /// Contested, and the user did not say who is who in time.
        ContestExpiry = 12 "contest_expiry",
        /// Its authorization code was never redeemed.
        CodeExpiry = 13 "code_expiry",
    }
}

named! {
    /// Why a presentation or a change had the outcome that it had.
    Reason {
        /// The user consented; the session is born.
        Born = 1 "born",
        /// The authorization code became the first refresh token.
        Redeemed = 2 "redeemed",
        /// The code's answer was lost and asked for again, with its retry key.
        RedeemedAgain = 3 "redeemed_again",
        /// The code came back without its retry key; the session ends.
        CodeReused = 4 "code_reused",
        /// The code was not redeemed in time.
        CodeExpired = 5 "code_expired",
        /// The current token became the next.
        Rotated = 10 "rotated",
        /// The same, and from here on a key holds the session.
        Bound = 11 "bound",
        /// A new access token; the refresh token stays.
        Renewed = 12 "renewed",
        /// The predecessor came again with the retry key of its rotation: the answer was lost.
        ReplayedByRetryKey = 13 "replayed_by_retry_key",
        /// The predecessor came again with a proof by the bound key.
        ReplayedByBoundKey = 14 "replayed_by_bound_key",
        /// The predecessor came again from the authenticated client.
        ReplayedByClient = 15 "replayed_by_client",
        /// Another tab or process refreshed at the same moment.
        ReplayedForSibling = 16 "replayed_for_sibling",
        /// A client without retry keys came back late for an answer.
        ReplayedLate = 17 "replayed_late",
        /// An old token came from the holder of the bound key: the current one again.
        ResyncedByBoundKey = 18 "resynced_by_bound_key",
        /// An old token came from the authenticated client: the current one again.
        ResyncedByClient = 19 "resynced_by_client",
        /// The store had lost acknowledged rotations; the token proves them.
        FastForwarded = 20 "fast_forwarded",
        /// A superseded token with the retry key of its own rotation: a late duplicate, a process that slept.
        StaleByRetryKey = 30 "stale_by_retry_key",
        /// A superseded token with a retry key, older than what the row remembers.
        StaleByOldRetryKey = 31 "stale_by_old_retry_key",
        /// A superseded token without a proof.
        StaleUnproven = 32 "stale_unproven",
        /// A superseded token from where the owner never was.
        StaleFromStranger = 33 "stale_from_stranger",
        /// A superseded token, no longer worth telling the client to reload.
        Superseded = 34 "superseded",
        /// Further ahead of the row than a failover explains; the user must authenticate.
        TooFarAhead = 35 "too_far_ahead",
        /// A bound token without a proof by its key.
        BindingMissing = 36 "binding_missing",
        /// Evidence reached the threshold; the session is paused.
        EvidenceContested = 40 "evidence_contested",
        /// Evidence reached the threshold; the session ends, by policy.
        EvidenceRevoked = 41 "evidence_revoked",
        /// The session is paused already.
        Contested = 42 "contested",
        /// Not used for its idle lifetime.
        IdleExpired = 50 "idle_expired",
        /// As old as it may become without a new authentication.
        AbsoluteExpired = 51 "absolute_expired",
        /// The session has ended.
        Ended = 52 "ended",
        /// No such session.
        Unknown = 53 "unknown",
        /// The client revoked its token.
        Revoked = 54 "revoked",
        /// A change by a user, an operator or the sweeper ended it.
        EndedByChange = 55 "ended_by_change",
        /// The token changes nothing here: it is bound, and its key did not come.
        NothingRevoked = 56 "nothing_revoked",
    }
}
