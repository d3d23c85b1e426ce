//! The core, held to its words: tokens, records, decisions, and its invariants over random interleavings.

#![allow(missing_docs, reason = "tests are named by sentences")]

mod codes;
mod decisions;
mod interleavings;
mod policies;
mod records;
mod samples;
mod tokens;
