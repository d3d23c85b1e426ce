//! What stands between the network and the endpoints: listeners, TLS, limits, request ids, logs.
//!
//! A connection is accepted ([`listen`]), perhaps wrapped in TLS ([`tls`]), served under its time limits
//! ([`connection`]); each of its requests gets an id and a caller, is read as a whole, handed to its endpoint
//! and logged ([`edge`]). Layers are plain functions around the router: a refresh passes them without a box of
//! their own.

pub(crate) mod caller;
mod connection;
pub(crate) mod edge;
pub(crate) mod forwarded;
pub(crate) mod listen;
mod refuse;
mod request_id;
pub(crate) mod tls;

#[cfg(test)]
mod tests;
