//! What `perennial dev` runs beside the server.

pub(crate) mod sample_api;
