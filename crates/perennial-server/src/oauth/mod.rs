//! The OAuth 2.1 and OpenID Connect endpoints that clients call, one file each.

pub(crate) mod code;

use std::sync::Arc;

use axum::Router;

use crate::service::Service;

/// Their routes.
pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new()
}
