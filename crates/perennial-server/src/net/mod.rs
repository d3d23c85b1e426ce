//! What stands between the network and the endpoints: listeners, TLS, limits, request ids, logs.

pub(crate) mod caller;
