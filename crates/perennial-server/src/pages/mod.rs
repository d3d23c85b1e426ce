//! The pages that people see: sign-in, consent, signed out, errors; and `/authorize`, which leads to them.
//!
//! Server-rendered, without a script, one stylesheet. Nothing of an authorization is kept on the server before
//! it is done: each form carries the request along, and each step checks it anew.

mod assets;
mod authorize;
mod birth;
mod browser_login;
mod consent;
mod cookies;
mod csrf;
mod explain;
mod logout;
mod page;
mod parameters;
mod redirect_uri;
mod request;
mod sign_in;
mod trouble;
mod visit;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;

use crate::service::Service;

/// The longest form, in bytes: an authorization request, escaped once more, and a name and a password.
const LONGEST_FORM: usize = 64 * 1024;

/// Their routes, and the page for every address that is nobody's. Every request needs a [`crate::Caller`] among
/// its extensions.
pub fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/", get(explain::home))
        .route("/authorize", get(authorize::get).post(authorize::post))
        .route("/sign-in", get(sign_in::get).post(sign_in::post))
        .route("/consent", get(consent::get).post(consent::post))
        .route("/logout", get(logout::get).post(logout::post))
        .route("/errors/{code}", get(explain::get))
        .route("/assets/{file}", get(assets::get))
        .fallback(explain::not_found)
        .layer(DefaultBodyLimit::max(LONGEST_FORM))
}
