//! The OAuth 2.1 and OpenID Connect endpoints that clients call, one file each.

mod answer;
mod bearer;
mod client_authentication;
pub mod code;
mod cors;
mod discovery;
mod form;
mod issue;
mod presentation;
mod refused;
mod revoke;
mod session;
mod session_view;
mod settle;
mod token;
mod userinfo;

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, get, post};

use crate::service::Service;

/// Their routes. Every request needs a [`crate::Caller`] among its extensions.
pub fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/token", open(post(token::post)))
        .route("/revoke", open(post(revoke::post)))
        .route("/userinfo", open(get(userinfo::get_or_post).post(userinfo::get_or_post)))
        .route("/session", open(get(session::get).post(session::post)))
        .route("/jwks", open(get(discovery::jwks)))
        .route("/.well-known/openid-configuration", open(get(discovery::metadata)))
        .route("/.well-known/oauth-authorization-server", open(get(discovery::metadata)))
}

/// An endpoint that pages of registered origins may call.
fn open(endpoint: MethodRouter<Arc<Service>>) -> MethodRouter<Arc<Service>> {
    endpoint.options(cors::preflight).fallback(cors::wrong_method)
}
