//! What the client keeps of a sign-in, as one serialisable value, and the ways it may change.
//!
//! Every change is a pure function from one value to the next. A store writes whole values atomically, so whatever
//! a crash leaves behind is one of these states and nothing in between: the tokens alone, the tokens with the
//! retry key of their attempt, the newer tokens without it, or the story of tokens that are dead.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::clocks::{Clocks, Entropy, UnixMillis};
use crate::secret::Secret;

/// The version of the stored form that this code writes; it refuses newer ones.
pub const CREDENTIALS_VERSION: u32 = 1;
/// How many dead sign-ins are kept with their story; the oldest makes room.
const SET_ASIDE_MAX: usize = 16;
/// The lifetime assumed for an access token whose server states none.
pub(crate) const ASSUMED_LIFETIME_MS: u64 = 300_000;

/// The client's `Idempotency-Key` for one attempt: 192 random bits, base64url.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RetryKey(Secret);

impl RetryKey {
    /// A key made of this entropy.
    pub fn draw(entropy: &Entropy) -> Self {
        Self(Secret::from(URL_SAFE_NO_PAD.encode(entropy.key_bytes())))
    }

    /// The key as it goes into the header, without the quotes of the structured field.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for RetryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryKey(..)")
    }
}

/// The tokens of one answer, and when they were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Counts the token sets of this credential: tells an access token apart without showing it.
    pub serial: u64,
    /// The access token; `None` for an imported refresh token that has not been used yet.
    pub access_token: Option<AccessToken>,
    /// The refresh token, if the server gave one.
    pub refresh_token: Option<Secret>,
    /// The ID token of the latest answer that had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token: Option<Secret>,
}

/// An access token and what is known of its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// The token as it goes into `Authorization: Bearer`.
    pub secret: Secret,
    /// The scopes granted, space-separated, if the server said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Both clocks when the token was asked for: its life is counted from there, which errs on the safe side.
    pub asked_at: Clocks,
    /// Milliseconds from `asked_at` until it expires.
    pub lifetime_ms: u64,
    /// Milliseconds from `asked_at` after which the server would like a refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_after_ms: Option<u64>,
}

impl AccessToken {
    /// Milliseconds left to live; 0 when it has expired or the clocks cannot tell its age.
    pub fn remaining_ms(&self, now: &Clocks) -> u64 {
        now.age_ms(&self.asked_at).map_or(0, |age| self.lifetime_ms.saturating_sub(age))
    }

    /// Whether it can still be used for a call: a twentieth of its life, at most a second, is left for the way.
    pub fn is_live(&self, now: &Clocks) -> bool {
        self.remaining_ms(now) > (self.lifetime_ms / 20).min(1_000)
    }

    /// When it expires, by this machine's wall clock.
    pub fn expires_at(&self) -> UnixMillis {
        self.asked_at.wall.plus_ms(self.lifetime_ms)
    }
}

/// What the server last said about the session (the member `session` of its answers).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFacts {
    /// The session's id.
    pub id: String,
    /// Active, limited or ending; what a newer server may say is kept as it came.
    pub state: String,
    /// The identity that outlives this session when another replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continuity: Option<String>,
    /// Unix seconds at which it ends if it is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_expires_at: Option<u64>,
    /// Unix seconds at which it ends in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absolute_expires_at: Option<u64>,
    /// Unix seconds at which an ending session ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<u64>,
    /// Scopes that the session would have if it were not limited, space-separated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_scope: Option<String>,
    /// What the user interface should do: `fetch`, `warn` or `attend`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// What the server would like the user to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
}

/// A notice of the server for the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// A stable code.
    pub code: String,
    /// The text, in the language asked for.
    pub message: String,
    /// Unix seconds until which it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Where to read on or to act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

/// Tokens that are dead, with their story. Kept so that nothing is lost to a wrong verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// When, by this machine's wall clock.
    pub at: UnixMillis,
    /// The RFC 6749 error, or `signed_in_again`.
    pub error: String,
    /// The server's `reason`, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The server's words, if it gave any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The request as the server's logs know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// A page that explains it, or where the user can act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The session that the tokens belonged to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionFacts>,
    /// The tokens themselves.
    pub tokens: Tokens,
    /// The retry key that stood beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_key: Option<RetryKey>,
}

/// A retry key could not be set beside a token, because that token is no longer the stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another process stored newer tokens; read the store again")]
pub struct NotTheStoredToken;

/// The stored credential file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The stored form's version.
    pub version: u32,
    /// The issuer, exactly as its discovery document writes it.
    pub issuer: String,
    /// The client's id at that issuer.
    pub client_id: String,
    /// Where tokens are refreshed.
    pub token_endpoint: String,
    /// Whether the server said that it welcomes retry keys (or a profile says so).
    pub retry_key_welcome: bool,
    /// The live tokens; `None` when signed out.
    pub tokens: Option<Tokens>,
    /// The retry key of the attempt for `tokens`, if one has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_key: Option<RetryKey>,
    /// What the server last said about the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionFacts>,
    /// Milliseconds that the server's clock was ahead of this machine's wall clock at the last answer.
    #[serde(default)]
    pub server_ahead_ms: i64,
    /// Tokens that are dead, latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<SetAside>,
}

/// What one well-formed token answer (RFC 6749, 5.1) brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The access token.
    pub access_token: AccessToken,
    /// The refresh token, if the answer had one.
    pub refresh_token: Option<Secret>,
    /// The ID token, if the answer had one.
    pub id_token: Option<Secret>,
    /// The member `session`, if the answer had one.
    pub session: Option<SessionFacts>,
    /// How far the server's clock is ahead of the wall clock, if the answer had a `Date`.
    pub server_ahead_ms: Option<i64>,
}

impl Credentials {
    /// Credentials that hold no tokens.
    pub fn signed_out(issuer: &str, client_id: &str, token_endpoint: &str) -> Self {
        Self {
            version: CREDENTIALS_VERSION,
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            token_endpoint: token_endpoint.to_owned(),
            retry_key_welcome: false,
            tokens: None,
            retry_key: None,
            session: None,
            server_ahead_ms: 0,
            set_aside: Vec::new(),
        }
    }

    /// Imports a refresh token that some other tool obtained; the first caller triggers its first refresh.
    ///
    /// ```
    /// use perennial_client::{Credentials, Secret};
    /// let imported = Credentials::from_refresh_token(
    ///     "https://id.example.org",
    ///     "demo-web",
    ///     "https://id.example.org/token",
    ///     Secret::from("prn_rt_..."),
    /// );
    /// assert!(imported.tokens.is_some());
    /// ```
    pub fn from_refresh_token(
        issuer: &str,
        client_id: &str,
        token_endpoint: &str,
        refresh_token: Secret,
    ) -> Self {
        Self {
            tokens: Some(Tokens {
                serial: 0,
                access_token: None,
                refresh_token: Some(refresh_token),
                id_token: None,
            }),
            ..Self::signed_out(issuer, client_id, token_endpoint)
        }
    }

    /// The same credentials for a server that welcomes retry keys.
    #[must_use]
    pub fn welcoming_retry_keys(self) -> Self {
        Self { retry_key_welcome: true, ..self }
    }

    /// The refresh token, if there is one.
    pub fn refresh_token(&self) -> Option<&Secret> {
        self.tokens.as_ref().and_then(|tokens| tokens.refresh_token.as_ref())
    }

    /// Whether retry keys may be sent: where they were advertised, or where the server has shown that it is ours.
    pub fn may_send_retry_key(&self) -> bool {
        self.retry_key_welcome || self.session.is_some()
    }

    /// The key of the attempt for `for_token`, and the credentials to store if that is a new one.
    ///
    /// # Guarantees
    /// A key that stands beside the token is never replaced: every try for one token sends one key.
    ///
    /// # Errors
    /// `for_token` is no longer the stored token, so no attempt for it may begin.
    pub fn with_retry_key_if_absent(
        &self,
        for_token: &Secret,
        key: RetryKey,
    ) -> Result<(RetryKey, Option<Self>), NotTheStoredToken> {
        if self.refresh_token() != Some(for_token) {
            return Err(NotTheStoredToken);
        }
        match &self.retry_key {
            Some(present) => Ok((present.clone(), None)),
            None => Ok((key.clone(), Some(Self { retry_key: Some(key), ..self.clone() }))),
        }
    }

    /// These credentials with the tokens of an answer. A new refresh token takes the retry key away with it; an
    /// answer without one leaves the refresh token (RFC 6749, 6), and with it the key, where they are.
    #[must_use]
    pub fn with_new_tokens(&self, issued: Issued) -> Self {
        let before = self.tokens.as_ref();
        let kept = self.refresh_token();
        let refresh_token = issued.refresh_token.or_else(|| kept.cloned());
        let same_token = refresh_token.as_ref() == kept;
        Self {
            tokens: Some(Tokens {
                serial: before.map_or(0, |tokens| tokens.serial).saturating_add(1),
                access_token: Some(issued.access_token),
                refresh_token,
                id_token: issued.id_token.or_else(|| before.and_then(|tokens| tokens.id_token.clone())),
            }),
            retry_key: self.retry_key.clone().filter(|_| same_token),
            session: issued.session.or_else(|| self.session.clone()),
            server_ahead_ms: issued.server_ahead_ms.unwrap_or(self.server_ahead_ms),
            ..self.clone()
        }
    }

    /// These credentials with their tokens set aside. Without tokens nothing changes.
    #[must_use]
    pub fn with_tokens_set_aside(&self, story: Story, at: UnixMillis) -> Self {
        let mut next = self.clone();
        let Some(tokens) = next.tokens.take() else { return next };
        next.set_aside.push(SetAside {
            at,
            error: story.error,
            reason: story.reason,
            description: story.description,
            request_id: story.request_id,
            uri: story.uri,
            session: next.session.take(),
            tokens,
            retry_key: next.retry_key.take(),
        });
        let surplus = next.set_aside.len().saturating_sub(SET_ASIDE_MAX);
        next.set_aside.drain(..surplus);
        next
    }

    /// A new sign-in in place of `previous`, whose tokens are set aside with the story.
    #[must_use]
    pub fn in_place_of(mut self, previous: &Self, at: UnixMillis) -> Self {
        let story = Story { error: "signed_in_again".to_owned(), ..Story::default() };
        self.set_aside = previous.with_tokens_set_aside(story, at).set_aside;
        let last = self.set_aside.iter().map(|dead| dead.tokens.serial).max().unwrap_or(0);
        if let Some(tokens) = &mut self.tokens {
            tokens.serial = tokens.serial.max(last.saturating_add(1));
        }
        self
    }

    /// The session that the next sign-in continues: the live one, else the last that was lost.
    pub fn session_to_continue(&self) -> Option<&SessionFacts> {
        self.session.as_ref().or_else(|| self.set_aside.last().and_then(|dead| dead.session.as_ref()))
    }
}

/// Why tokens were set aside, in the server's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// The RFC 6749 error.
    pub error: String,
    /// The server's `reason`.
    pub reason: Option<String>,
    /// The server's `error_description`.
    pub description: Option<String>,
    /// The server's `request_id`.
    pub request_id: Option<String>,
    /// A page that explains the error, or where the user can act.
    pub uri: Option<String>,
}
