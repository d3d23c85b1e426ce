//! The verifier against a fake issuer over a real socket, with a clock that the tests move.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod api;
mod discovery;
mod issuer;
mod keys;
mod random;
mod requests;
mod routes;
mod sample;
mod signer;
mod tokens;
