//! What has happened, line by line, and one number over all of it: two runs of a seed must agree on the number.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};

/// Older lines make room; the number still covers them.
const KEPT_LINES: usize = 20_000;
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

#[derive(Debug)]
pub(crate) struct Trace {
    lines: VecDeque<String>,
    dropped: u64,
    hash: u64,
}

impl Trace {
    pub(crate) const fn new() -> Self {
        Self { lines: VecDeque::new(), dropped: 0, hash: FNV_OFFSET }
    }

    pub(crate) fn line(&mut self, at_ms: u64, what: fmt::Arguments<'_>) {
        let mut line = String::with_capacity(80);
        write!(line, "{at_ms:>12} {what}").expect("a String takes whatever is written");
        for byte in line.bytes().chain([b'\n']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(line);
    }

    /// FNV-1a over every line so far.
    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if self.dropped > 0 {
            writeln!(text, "({} earlier lines)", self.dropped).expect("a String takes whatever is written");
        }
        for line in &self.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}
