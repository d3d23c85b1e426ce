//! `/userinfo` (OpenID Connect Core, 5.3): who is signed in, as far as the scopes go.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use http::Method;
use perennial_core::Scopes;
use perennial_core::session::{State as SessionState, end_cause};
use serde::Serialize;

use crate::accounts::AccountsError;
use crate::net::caller::Caller;
use crate::oauth::answer;
use crate::oauth::bearer::{self, Bearer};
use crate::oauth::form::{self, Form};
use crate::refusal::Refusal;
use crate::service::Service;

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
}

/// `GET` and `POST /userinfo`.
pub(crate) async fn get_or_post(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    // RFC 6750, 2.2: the token may come in the form of a POST, never in one of a GET.
    let body = if head.method == Method::POST && form::is_form(&head.headers) {
        form::body(&head.uri, &head.headers, body).await
    } else {
        form::no_secret_in_address(&head.uri).map(|()| bytes::Bytes::new())
    };
    let outcome = match body {
        Ok(body) => claims(&service, &head.headers, &body).await,
        Err(refusal) => Err(refusal),
    };
    answer::finish(&service, &caller, &head.headers, outcome)
}

async fn claims(service: &Service, headers: &http::HeaderMap, body: &[u8]) -> Result<Response, Refusal> {
    let form = Form::parse(body)?;
    let Bearer { session, claims, now, .. } = bearer::present(service, headers, &form).await?;
    let is_alive = match session.hot.state {
        SessionState::Active | SessionState::Ending { .. } => end_cause(&session, now).is_none(),
        SessionState::Contested { .. } | SessionState::Ended { .. } => false,
    };
    if !is_alive {
        return Err(bearer::invalid("revoked", "The session of the access token is over or paused."));
    }
    let scopes = Scopes::parse(&claims.scope).unwrap_or_else(|_| Scopes::none());
    if !scopes.contains("openid") {
        return Err(bearer::lacks_scope("openid"));
    }
    let account = service.accounts.by_subject(&*service.store, &session.grant.subject).await;
    let account = match account.map_err(unavailable)? {
        Some(account) if !account.disabled => account,
        Some(_) | None => {
            return Err(bearer::invalid("unknown", "The account of the access token is gone or disabled."));
        }
    };
    let (profile, email) = (scopes.contains("profile"), scopes.contains("email"));
    Ok(answer::json(&Claims {
        sub: account.subject.as_str(),
        name: account.name.as_deref().filter(|_| profile),
        preferred_username: profile.then_some(account.login.as_str()),
        email: account.email.as_deref().filter(|_| email),
    }))
}

fn unavailable(error: AccountsError) -> Refusal {
    match error {
        AccountsError::Store(error) => error.into(),
        // None of these comes of reading an account by its subject.
        AccountsError::LoginTaken(_)
        | AccountsError::Login(_)
        | AccountsError::Password(_)
        | AccountsError::NoSuchAccount(_)
        | AccountsError::Busy { .. }
        | AccountsError::Conflict
        | AccountsError::Hashing(_) => {
            tracing::error!(%error, "an account could not be read");
            Refusal::unavailable("account", "The account cannot be read at the moment. Try again.", 2)
        }
    }
}
