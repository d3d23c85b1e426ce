//! Who is asking, as far as the network says: an extension of every request, set before any endpoint sees it.

use std::net::IpAddr;
use std::sync::Arc;

/// The far end of a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The client's address: the peer's, or what a configured proxy says it is.
    pub addr: IpAddr,
    /// Whether the client speaks https, to us or to a configured proxy.
    pub secure: bool,
    /// The request's id: in logs, in `X-Request-Id` and in every refusal.
    pub request_id: Arc<str>,
}
