//! The pages that people see: sign-in, consent, signed out, errors; and `/authorize`, which leads to them.

use std::sync::Arc;

use axum::Router;

use crate::service::Service;

/// Their routes.
pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new()
}
