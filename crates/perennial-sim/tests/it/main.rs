//! Worlds that nobody survives by luck: random walks, the same walk twice, and rules broken on purpose.

mod planted;
mod walks;
