//! `/revoke` (RFC 7009): a refresh token ends its session; whatever else it says, the answer is 200 and tells
//! nothing. Only the store's trouble is told, so that the client tries again.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use perennial_core::session::token::TokenKind;
use perennial_core::session::{Presented, revoke};

use crate::keys::{ACCESS_TOKEN, ID_TOKEN};
use crate::net::caller::Caller;
use crate::oauth::answer;
use crate::oauth::client_authentication::authenticate;
use crate::oauth::form::{self, Form, Parameter};
use crate::oauth::presentation::{self, NotPresented, Presentation};
use crate::oauth::settle::{Matter, Unsettled, settle};
use crate::refusal::{ErrorCode, Refusal};
use crate::service::Service;

/// `POST /revoke`.
pub(crate) async fn post(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let outcome = match form::body(&head.uri, &head.headers, body).await {
        Ok(body) => revoked(&service, &caller, &head.headers, &body).await,
        Err(refusal) => Err(refusal),
    };
    answer::finish(&service, &caller, &head.headers, outcome)
}

async fn revoked(
    service: &Service,
    caller: &Caller,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Refusal> {
    let form = Form::parse(body)?;
    let by = authenticate(&service.clients, headers, &form)?;
    let text = form.required(Parameter::Token)?;
    let retry_key = presentation::retry_key(headers, &form)?;
    let Presentation { token, session } =
        match presentation::find(service, TokenKind::Refresh, text, &by.client).await {
            Ok(found) => found,
            Err(NotPresented::Unknown) => {
                unless_a_jwt_of_ours(service, text)?;
                return Ok(done());
            }
            Err(NotPresented::Foreign) => return Ok(done()),
            Err(why @ (NotPresented::KeyNotYetKnown | NotPresented::Store(_))) => return Err(why.into()),
        };
    let presented = Presented { generation: token.generation, retry_key, holder: by.holder() };
    let context = presentation::context(service, caller, headers, &by.client, retry_key);
    let rules = by.client.rules(&service.policy.load());
    let matter = Matter { sid: token.sid, presented: token.generation, request_id: &caller.request_id };
    let settled =
        settle(service, matter, session, |session, now| revoke(session, &presented, &context, &rules, now))
            .await;
    match settled {
        Ok(settled) => tracing::info!(
            sid = %token.sid,
            client = %by.client.id,
            presented = token.generation.0,
            reason = settled.decision.reason.as_str(),
            request_id = %caller.request_id,
            "revocation decided"
        ),
        Err(Unsettled::Gone) => {}
        Err(why @ (Unsettled::Contended | Unsettled::Store(_))) => return Err(why.into()),
    }
    Ok(done())
}

/// RFC 7009, 2.2.1: tokens that live for minutes are not revoked one by one.
fn unless_a_jwt_of_ours(service: &Service, text: &str) -> Result<(), Refusal> {
    let is_ours = [ACCESS_TOKEN, ID_TOKEN]
        .into_iter()
        .any(|typ| service.keys.verified::<serde::de::IgnoredAny>(typ, text).is_some());
    if is_ours {
        return Err(Refusal::new(
            ErrorCode::UnsupportedTokenType,
            "token_type",
            "Only refresh tokens are revoked: the access tokens of a session end with it.",
        ));
    }
    Ok(())
}

fn done() -> Response {
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
