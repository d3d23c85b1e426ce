//! What the application sees: one state with advice for its user interface, and errors that say what to do.

use crate::clocks::UnixMillis;
use crate::credentials::Story;
use crate::engine::answer::{Disbelief, Refusal};
use crate::engine::event::{StoreFailure, TransportFailure};

/// Where the sign-in stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// A token is at hand.
    Fresh,
    /// A refresh is under way; a token that still lives is served meanwhile.
    Renewing,
    /// The refresh keeps failing; the token still lives and is served.
    Expiring,
    /// The refresh keeps failing and the token has expired; callers wait until their deadline.
    ExpiredRetrying,
    /// A token with fewer scopes is at hand.
    Limited,
    /// The server asks the user to authenticate once more (RFC 9470).
    Challenged,
    /// The session is ending, with grace.
    Ending,
    /// The server asks the user who is who; the credentials are kept.
    Paused,
    /// The user must sign in.
    SignedOut,
}

impl Phase {
    /// The phase in one lower-case word or two, for people and for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Renewing => "renewing",
            Self::Expiring => "expiring",
            Self::ExpiredRetrying => "expired, retrying",
            Self::Limited => "limited",
            Self::Challenged => "challenged",
            Self::Ending => "ending",
            Self::Paused => "paused",
            Self::SignedOut => "signed out",
        }
    }
}

/// What the user interface should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advice {
    /// Go on.
    Fetch,
    /// Say something.
    Warn,
    /// The user is needed.
    Attend,
}

/// The published state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Where the sign-in stands.
    pub phase: Phase,
    /// What the user interface should do.
    pub advice: Advice,
    /// When the access token expires, by this machine's wall clock; `None` without one.
    pub expires_at: Option<UnixMillis>,
    /// When the next try is due, while tries fail; by this machine's wall clock.
    pub retry_at: Option<UnixMillis>,
    /// When an ending session ends, Unix seconds.
    pub ends_at: Option<u64>,
    /// The scopes that a limited session lacks, space-separated.
    pub missing_scope: Option<String>,
    /// Why, when all is not well.
    pub trouble: Option<Trouble>,
}

/// What keeps the client from a newer token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The network.
    #[error(transparent)]
    Transport(#[from] TransportFailure),
    /// The store of this machine.
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// Something that is not an OAuth answer.
    #[error(transparent)]
    Unbelievable(#[from] Disbelief),
    /// The server asks to wait.
    #[error("the server asks to try again later ({})", told(.0))]
    Busy(Box<Refusal>),
    /// The server says that a newer token is in the store, and the store has none.
    #[error("the server has issued a newer token than this store holds ({}); trying again", told(.0))]
    NewerElsewhere(Box<Refusal>),
    /// An error that no standard knows; it is tried a few times before it is believed.
    #[error("the server refused with an unknown error ({})", told(.0))]
    UnknownRefusal(Box<Refusal>),
    /// The server's token had expired when it came.
    #[error("the server issued a token that had already expired; check its clock and its lifetimes")]
    BornExpired,
    /// The API refuses tokens that were issued just before.
    #[error("the API refuses a fresh token; check its audience, its issuer and its clock")]
    ApiRefusesFreshToken,
    /// The registration of this client is at fault.
    #[error("the server does not accept this client ({}); check its registration", told(.0))]
    Client(Box<Refusal>),
    /// The user must authenticate once more.
    #[error("the server asks you to authenticate once more{}", place(&.0.story))]
    StepUp(Box<Refusal>),
    /// The user must say who is who.
    #[error("the session is paused until you confirm it{}", place(&.0.story))]
    Confirm(Box<Refusal>),
    /// The server ended the sign-in.
    #[error("signed out: {}; run `perennial login`", verdict(.0))]
    SignedOut(Box<Story>),
    /// Nobody has signed in.
    #[error("not signed in; run `perennial login`")]
    NeverSignedIn,
    /// There is no refresh token, and the access token has expired.
    #[error("the sign-in came without a refresh token and has expired; run `perennial login`")]
    NoRefreshToken,
}

fn told(refusal: &Refusal) -> String {
    let story = &refusal.story;
    let words = story.reason.as_deref().or(story.description.as_deref());
    let request = story.request_id.as_deref().map(|id| format!(", request {id}")).unwrap_or_default();
    match words {
        Some(words) => format!("{} {}: {words}{request}", refusal.status, story.error),
        None => format!("{} {}{request}", refusal.status, story.error),
    }
}

fn verdict(story: &Story) -> String {
    let words = story.description.as_deref().or(story.reason.as_deref());
    words.map_or_else(|| story.error.clone(), |words| words.trim_end_matches('.').to_owned())
}

fn place(story: &Story) -> String {
    story.uri.as_deref().map(|uri| format!(": open {uri}")).unwrap_or_default()
}

/// Why a caller gets no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not within the caller's deadline; later it may work.
    #[error("no token yet: {}", .0.as_ref().map_or_else(|| "the refresh is still under way".to_owned(), ToString::to_string))]
    Unavailable(Option<Trouble>),
    /// Not without somebody's help.
    #[error(transparent)]
    Attend(Trouble),
    /// The session's driver has ended, because its runtime has.
    #[error("the session's background task has ended; keep its tokio runtime alive")]
    Ended,
}

impl TokenError {
    /// Whether the same call may work later without anybody's help.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Attend(_) | Self::Ended => false,
        }
    }

    /// Whether the user has to sign in.
    pub fn is_signed_out(&self) -> bool {
        match self {
            Self::Attend(trouble) => trouble.is_signed_out(),
            Self::Unavailable(_) | Self::Ended => false,
        }
    }
}

impl Trouble {
    /// Whether only a new sign-in ends it.
    pub fn is_signed_out(&self) -> bool {
        match self {
            Self::SignedOut(_) | Self::NeverSignedIn | Self::NoRefreshToken => true,
            Self::Transport(_)
            | Self::Store(_)
            | Self::Unbelievable(_)
            | Self::Busy(_)
            | Self::NewerElsewhere(_)
            | Self::UnknownRefusal(_)
            | Self::BornExpired
            | Self::ApiRefusesFreshToken
            | Self::Client(_)
            | Self::StepUp(_)
            | Self::Confirm(_) => false,
        }
    }

    /// Whether time alone cannot end it: a person has to act.
    pub(crate) fn needs_somebody(&self) -> bool {
        match self {
            Self::Client(_) | Self::StepUp(_) | Self::Confirm(_) | Self::ApiRefusesFreshToken => true,
            Self::SignedOut(_) | Self::NeverSignedIn | Self::NoRefreshToken => true,
            Self::Transport(_)
            | Self::Store(_)
            | Self::Unbelievable(_)
            | Self::Busy(_)
            | Self::NewerElsewhere(_)
            | Self::UnknownRefusal(_)
            | Self::BornExpired => false,
        }
    }
}
