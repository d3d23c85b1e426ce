//! The OAuth 2.1 and OpenID Connect endpoints that clients call, one file each.

mod answer;
mod client_authentication;
pub mod code;
mod cors;
mod form;
mod issue;
mod presentation;
mod refused;
mod session_view;
mod settle;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, post};

use crate::service::Service;

/// Their routes. Every request needs a [`crate::Caller`] among its extensions.
pub fn routes() -> Router<Arc<Service>> {
    Router::new().route("/token", open(post(token::post)))
}

/// An endpoint that pages of registered origins may call.
fn open(endpoint: MethodRouter<Arc<Service>>) -> MethodRouter<Arc<Service>> {
    endpoint.options(cors::preflight).fallback(cors::wrong_method)
}
