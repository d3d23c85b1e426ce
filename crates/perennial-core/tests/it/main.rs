//! The core, held to its words: tokens, records, decisions, and its invariants over random interleavings.

#![expect(clippy::unwrap_used, reason = "what a test sets up is as it says")]

mod codes;
mod decisions;
mod interleavings;
mod policies;
mod records;
mod samples;
mod tokens;
