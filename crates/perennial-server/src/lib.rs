//! The OAuth 2.1 / OpenID Connect server whose sessions outlive their tokens.
//!
//! [`run::run`] starts a whole server from a [`config::Config`]; [`service::Service`] is what every endpoint
//! works with. One file per endpoint in `oauth` and `pages`; what the network needs is in `net`.

pub mod accounts;
pub mod clients;
pub mod clock;
pub mod config;
pub mod control;
pub mod keys;
mod net;
pub mod oauth;
mod ops;
pub mod pages;
mod refusal;
pub mod run;
pub mod service;
pub mod sweeper;

pub use net::caller::Caller;
