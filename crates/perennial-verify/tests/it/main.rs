//! The verifier against a fake issuer over a real socket, with a clock that the tests move.

mod api;
mod discovery;
mod issuer;
mod keys;
mod random;
mod requests;
mod routes;
mod signer;
mod tokens;
