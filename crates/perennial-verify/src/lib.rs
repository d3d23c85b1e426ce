#![doc = include_str!("../README.md")]

mod algorithm;
mod bearer;
mod builder;
mod challenge;
mod claims;
mod clock;
mod jws;
mod keys;
mod layer;
mod metadata;
mod principal;
mod refusal;
mod scope;
mod verifier;

pub use algorithm::Algorithm;
pub use builder::{BuildError, VerifierBuilder};
pub use claims::Profile;
pub use clock::{Clock, SystemClock};
pub use layer::{Verify, VerifyFuture, VerifyLayer};
pub use principal::Principal;
pub use refusal::{Action, Refusal, RequestFault, TokenFault, VerifierFault};
pub use scope::{RequireScope, RequireScopeLayer, require_scope};
pub use verifier::Verifier;
