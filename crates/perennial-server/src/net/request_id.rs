//! Request ids: unique, cheap, and no secret. A random name for the process and a count.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName};

/// The header that carries them, both ways.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LONGEST: usize = 64;

/// Where new ids come from.
pub(super) struct RequestIds {
    process: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        Ok(Self { process: getrandom::u64()?, count: AtomicU64::new(0) })
    }

    /// A new id.
    pub(super) fn next(&self) -> Arc<str> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}-{count:x}", self.process).into()
    }
}

/// The id that a trusted proxy gave, where it is one that may stand in a log line and a header.
pub(super) fn given(headers: &HeaderMap) -> Option<Arc<str>> {
    let id = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let sane = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    ((1..=LONGEST).contains(&id.len()) && id.bytes().all(sane)).then(|| id.into())
}
