//! The pure heart of Perennial: sessions, refresh tokens, decisions, policy.
//!
//! No I/O, no clock, no random source, no async: time and randomness arrive as parameters, so the same code
//! runs in the server, in the tests and in the simulator. The way of a refresh through it:
//!
//! 1. [`session::token::KeyRing::open`] recognises a token by its tag alone;
//! 2. [`session::token::OpenedToken::is_proven_by`] checks the proof against the session's secret;
//! 3. [`session::decide()`] says what happens, over one row and one instant;
//! 4. the store applies the [`write::Write`] that comes of it, if the row is still as it was read;
//! 5. [`session::token::KeyRing::mint`] makes the token of the generation that now stands in the row.

pub mod ids;
pub mod policy;
pub mod scope;
pub mod session;
pub mod time;
pub mod write;

pub use ids::{ClientId, ContinuityId, Generation, RowVersion, SessionId, SubjectId};
pub use scope::Scopes;
pub use session::{Session, decide};
pub use time::{Now, ServiceMillis, UnixMillis};
