#![doc = include_str!("../README.md")]

mod clocks;
mod credentials;
#[cfg(feature = "tokio")]
mod driver;
pub mod engine;
#[cfg(feature = "login")]
pub mod login;
mod secret;
#[cfg(feature = "tokio")]
mod store;

pub use clocks::{BootMillis, Clocks, Entropy, UnixMillis};
pub use credentials::{
    AccessToken, CREDENTIALS_VERSION, Credentials, Issued, NotTheStoredToken, Notice, RetryKey, SessionFacts,
    SetAside, Story, Tokens,
};
#[cfg(feature = "tokio")]
pub use driver::{OpenError, SendError, Session, SessionOptions, Timeouts, Token};
pub use engine::{Advice, Phase, State, StoreFailure, TokenError, Trouble};
pub use secret::Secret;
#[cfg(feature = "tokio")]
pub use store::{FileStore, MemoryStore, ProfileNameError, Store, StoreLock};
