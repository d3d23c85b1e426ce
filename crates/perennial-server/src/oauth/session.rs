//! `/session`: what a client may know of its own session. `GET` with an access token; `POST` with a refresh
//! token, which it does not consume, because a paused client has nothing else.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;
use perennial_core::session::token::TokenKind;
use serde::Serialize;

use crate::net::caller::Caller;
use crate::oauth::answer;
use crate::oauth::bearer::{self, Bearer};
use crate::oauth::client_authentication::authenticate;
use crate::oauth::form::{self, Form, Parameter};
use crate::oauth::presentation::{self, Presentation};
use crate::oauth::session_view::SessionView;
use crate::refusal::{ErrorCode, Refusal};
use crate::service::Service;

#[derive(Serialize)]
struct Answer {
    session: SessionView,
}

/// `GET /session`.
pub(crate) async fn get(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let (head, _) = request.into_parts();
    let outcome = by_access_token(&service, &head.uri, &head.headers).await;
    answer::finish(&service, &caller, &head.headers, outcome)
}

async fn by_access_token(
    service: &Service,
    uri: &http::Uri,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    form::no_secret_in_address(uri)?;
    let Bearer { sid, session, now, .. } = bearer::present(service, headers, &Form::default()).await?;
    Ok(answer::json(&Answer { session: SessionView::of(sid, &session, now) }))
}

/// `POST /session`.
pub(crate) async fn post(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let outcome = match form::body(&head.uri, &head.headers, body).await {
        Ok(body) => by_refresh_token(&service, &head.headers, &body).await,
        Err(refusal) => Err(refusal),
    };
    answer::finish(&service, &caller, &head.headers, outcome)
}

async fn by_refresh_token(service: &Service, headers: &HeaderMap, body: &[u8]) -> Result<Response, Refusal> {
    let form = Form::parse(body)?;
    let by = authenticate(&service.clients, headers, &form)?;
    let text = form.required(Parameter::RefreshToken)?;
    let Presentation { token, session } =
        presentation::find(service, TokenKind::Refresh, text, &by.client).await?;
    // A bound token without its key tells nothing; no proof by a key reaches this endpoint yet.
    let is_bound = session.hot.bound_from.is_some_and(|from| token.generation >= from);
    if is_bound && session.grant.bound_key.is_some() {
        let description = "The token is bound to a key, and no proof by that key came with it.";
        return Err(Refusal::new(ErrorCode::InvalidGrant, "binding", description));
    }
    let now = service.clock.now();
    Ok(answer::json(&Answer { session: SessionView::of(token.sid, &session, now) }))
}
