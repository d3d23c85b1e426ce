//! Stay signed in: a refresh engine for any OAuth server, with a tokio and reqwest driver.

mod clocks;
mod credentials;
pub mod engine;
mod secret;

pub use clocks::{BootMillis, Clocks, Entropy, UnixMillis};
pub use credentials::{
    AccessToken, CREDENTIALS_VERSION, Credentials, Issued, NotTheStoredToken, Notice, RetryKey, SessionFacts,
    SetAside, Story, Tokens,
};
pub use secret::Secret;
