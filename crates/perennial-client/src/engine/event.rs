//! What the engine is told and what it asks for. Everything outside (bytes, files, time) is behind these two.

use crate::clocks::BootMillis;
use crate::credentials::{AccessToken, Credentials, RetryKey};
use crate::engine::answer::HttpAnswer;
use crate::engine::state::{State, TokenError};
use crate::secret::Secret;

/// Names a caller that waits for a token. The driver chooses it and does not use it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId(pub u64);

/// Names a request in flight, so that a late answer to another one is not taken for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A caller wants a token.
    TokenWanted {
        /// Who.
        caller: CallerId,
        /// How much life it should have left, in milliseconds; at most half of a token's lifetime is promised,
        /// and a failing refresh lowers it to none.
        min_ttl_ms: u64,
        /// Until when the caller waits.
        deadline: BootMillis,
    },
    /// An API answered 401 and named the token as the cause; the caller wants another one.
    ApiRefused {
        /// Who.
        caller: CallerId,
        /// The serial of the refused token.
        serial: u64,
        /// Until when the caller waits.
        deadline: BootMillis,
    },
    /// A caller no longer waits.
    CallerGone(CallerId),
    /// The time asked for by `WakeAt` has come.
    Timer,
    /// The machine woke from sleep, or the network came back.
    Woke,
    /// The lock asked for by `Lock` is held.
    LockTaken,
    /// The lock cannot be had.
    LockFailed(StoreFailure),
    /// What the store holds, asked for by `Read`; `None` when it holds nothing.
    Loaded(Option<Box<Credentials>>),
    /// The store cannot be read.
    LoadFailed(StoreFailure),
    /// What `Store` asked for is durable.
    Stored,
    /// What `Store` asked for is not stored; the store is as it was before.
    StoreFailed(StoreFailure),
    /// The answer to a request, whole.
    Answered(RequestId, HttpAnswer),
    /// No whole answer came.
    TransportFailed(RequestId, TransportFailure),
    /// Another process (or a sign-in) stored these.
    OtherStored(Box<Credentials>),
}

/// Something to do. After every `handle`, drain them all, in order.
#[derive(Clone, Debug)]
pub enum Action {
    /// Take the store's lock; answer with `LockTaken` or `LockFailed`.
    Lock,
    /// Free the lock.
    Unlock,
    /// Read the store; answer with `Loaded` or `LoadFailed`.
    Read,
    /// Make these the stored credentials, atomically and durably; answer with `Stored` or `StoreFailed`.
    Store(Box<Credentials>, Storing),
    /// Send a refresh; answer with `Answered` or `TransportFailed`.
    Send(RefreshRequest),
    /// Call `handle(Event::Timer)` at this time. Replaces the time asked for before.
    WakeAt(BootMillis),
    /// The state has changed.
    Publish(State),
    /// Give this caller this token.
    HandOut(CallerId, HandedOut),
    /// Tell this caller that there is no token for it.
    Fail(CallerId, TokenError),
    /// A line for the ledger.
    Note(Note),
}

/// What a `Store` is for. The driver does the same in every case; crash tests tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storing {
    /// The retry key, before anything is sent.
    RetryKey,
    /// New tokens, before anyone gets them.
    Tokens,
    /// Dead tokens with their story.
    Story,
}

/// A refresh (RFC 6749, 6) ready to be sent.
#[derive(Clone, Debug)]
pub struct RefreshRequest {
    /// Which request the answer belongs to.
    pub id: RequestId,
    /// Where to.
    pub token_endpoint: String,
    /// Who refreshes.
    pub client_id: String,
    /// The refresh token.
    pub refresh_token: Secret,
    /// For the header `Idempotency-Key`, where the server welcomes it.
    pub retry_key: Option<RetryKey>,
}

/// An access token on its way to a caller.
#[derive(Clone, Debug)]
pub struct HandedOut {
    /// Tells the token apart without showing it.
    pub serial: u64,
    /// The token.
    pub token: AccessToken,
}

/// Why a store could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFailure {
    /// The stored credentials are damaged; they were moved aside, not overwritten.
    #[error("the credentials in {path} are damaged; they were moved to {moved_to}: run `perennial login`")]
    Corrupt {
        /// Where they were.
        path: String,
        /// Where they are now.
        moved_to: String,
    },
    /// The stored credentials were written by a newer version of this software; they are left alone.
    #[error("the credentials in {path} were written by a newer version of perennial: update this one")]
    Newer {
        /// Where they are.
        path: String,
    },
    /// The disk is full, read-only or failing, or access is denied.
    #[error("{path} cannot be {verb}: {cause}")]
    Io {
        /// The file.
        path: String,
        /// What was tried: read, written, locked.
        verb: &'static str,
        /// The system's words.
        cause: String,
    },
}

/// Why no whole answer came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportFailure {
    /// The server was not reached: no name, no route, no connection. Nothing can have been consumed.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The answer was lost on its way; the request may have been carried out.
    #[error("the server's answer was lost: {0}")]
    Interrupted(String),
}

/// A line of the ledger: what was tried and what came of it, without a secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A refresh of the token with this serial was sent, for the nth time in a row.
    RefreshSent {
        /// The serial of the tokens refreshed.
        serial: u64,
        /// 1 for the first try.
        attempt: u32,
    },
    /// New tokens were stored.
    Refreshed {
        /// Their serial.
        serial: u64,
    },
    /// Tokens that another process had stored were adopted.
    Adopted {
        /// Their serial.
        serial: u64,
    },
    /// A try failed; the next one follows.
    TryFailed {
        /// Why, in one line.
        cause: String,
        /// Milliseconds until the next.
        retry_in_ms: u64,
    },
    /// An API refused the token with this serial.
    ApiRefused {
        /// The serial of the refused token.
        serial: u64,
    },
    /// The sign-in ended; its tokens were set aside.
    SignedOut {
        /// The RFC 6749 error.
        error: String,
        /// The server's reason.
        reason: Option<String>,
    },
}
