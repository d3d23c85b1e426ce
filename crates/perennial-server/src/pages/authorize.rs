//! `/authorize` (RFC 6749, 4.1.1; OpenID Connect Core, 3.1.2): decides what stands between a request and its
//! code, and shows that, or sends the code.

use axum::response::Response;
use perennial_core::SubjectId;
use serde::Deserialize;

use crate::keys::ID_TOKEN;

use super::browser_login::BrowserLogin;
use super::page::see_other;
use super::parameters::{LONGEST_REQUEST, Parameters};
use super::request::{AuthorizationError, AuthorizationRequest, ErrorAnswer, NotAnswered, UnsafeRequest};
use super::trouble::{Stop, Trouble, stop_page};
use super::visit::{Submitted, Visit};
use super::{birth, consent, sign_in};

/// `GET /authorize`
pub(crate) async fn get(visit: Visit) -> Response {
    let query = visit.uri.query().unwrap_or("");
    let Some(parameters) = read(query) else { return too_large(&visit) };
    answer(&visit, parameters).await
}

/// `POST /authorize` becomes a GET: browsers leave `Lax` cookies out of a POST from another site, so whoever is
/// signed in would look signed out.
pub(crate) async fn post(Submitted { visit, form }: Submitted) -> Response {
    if form.to_query().len() > LONGEST_REQUEST {
        return too_large(&visit);
    }
    see_other(&visit, &visit.authorize(&form), [])
}

/// The parameters of a request, unless there are too many.
pub(crate) fn read(query: &str) -> Option<Parameters> {
    if query.len() > LONGEST_REQUEST {
        return None;
    }
    Parameters::parse(query.as_bytes()).ok()
}

pub(crate) fn too_large(visit: &Visit) -> Response {
    stop_page(visit, Stop::Request(UnsafeRequest::TooLarge))
}

async fn answer(visit: &Visit, parameters: Parameters) -> Response {
    let request = match AuthorizationRequest::check(&visit.service.clients, &parameters) {
        Ok(request) => request,
        Err(not) => return not_answered(visit, not),
    };
    match proceed(visit, &request, &parameters).await {
        Ok(response) => response,
        Err(trouble) if request.prompt.silent => refuse(visit, &trouble.refusal(visit, request)),
        Err(trouble) => trouble.page(visit, visit.authorize(&parameters)),
    }
}

async fn proceed(
    visit: &Visit,
    request: &AuthorizationRequest,
    parameters: &Parameters,
) -> Result<Response, Trouble> {
    let hinted = match hinted_subject(visit, request) {
        Ok(hinted) => hinted,
        Err(answer) => return Ok(refuse(visit, &answer)),
    };
    let login = BrowserLogin::of(visit).await?;
    let rules = request.client.rules(&visit.service.policy.load());
    let good = login.as_ref().filter(|login| {
        !request.prompt.login
            && request.is_satisfied_by(login.authenticated_at, &rules, visit.now)
            && hinted.as_ref().is_none_or(|hinted| *hinted == login.account.subject)
    });
    let Some(good) = good else {
        if request.prompt.silent {
            return Ok(refuse(visit, &login_required(request)));
        }
        return Ok(sign_in::page(visit, request, parameters, login.as_ref()));
    };
    if consent::is_due(visit, request, &good.account.subject).await? {
        if request.prompt.silent {
            let description = "the person has to agree first";
            let return_to = request.return_to.clone();
            return Ok(refuse(visit, &return_to.refuse(AuthorizationError::ConsentRequired, description)));
        }
        return Ok(consent::page(visit, request, parameters, good));
    }
    send_code(visit, request, good).await
}

/// Gives birth to the session and sends its code.
pub(crate) async fn send_code(
    visit: &Visit,
    request: &AuthorizationRequest,
    login: &BrowserLogin,
) -> Result<Response, Trouble> {
    let code = birth::code(visit, request, login).await?;
    let location = request.return_to.location(&visit.service.issuer, &[("code", &code)]);
    Ok(see_other(visit, &location, []))
}

/// Sends an error to the client.
pub(crate) fn refuse(visit: &Visit, answer: &ErrorAnswer) -> Response {
    let error = answer.error.as_str();
    tracing::info!(request_id = %visit.caller.request_id, error, "an authorization was refused");
    let answers = [("error", error), ("error_description", answer.description)];
    see_other(visit, &answer.return_to.location(&visit.service.issuer, &answers), [])
}

/// Tells whoever may be told why a request goes no further.
pub(crate) fn not_answered(visit: &Visit, not: NotAnswered) -> Response {
    match not {
        NotAnswered::Page(unsafe_request) => stop_page(visit, Stop::Request(unsafe_request)),
        NotAnswered::Redirect(answer) => refuse(visit, &answer),
    }
}

pub(crate) fn login_required(request: &AuthorizationRequest) -> ErrorAnswer {
    let description = "the person has to sign in first";
    request.return_to.clone().refuse(AuthorizationError::LoginRequired, description)
}

#[derive(Deserialize)]
struct HintClaims {
    sub: String,
}

/// Whom the client expects (OpenID Connect Core, 3.1.2.1: `id_token_hint`, which may have expired).
pub(crate) fn hinted_subject(
    visit: &Visit,
    request: &AuthorizationRequest,
) -> Result<Option<SubjectId>, ErrorAnswer> {
    let Some(hint) = &request.id_token_hint else { return Ok(None) };
    match visit.service.keys.verified::<HintClaims>(ID_TOKEN, hint) {
        Some(claims) => Ok(Some(SubjectId::from(claims.sub))),
        None => {
            let description = "id_token_hint is not an ID token of this server";
            Err(request.return_to.clone().refuse(AuthorizationError::InvalidRequest, description))
        }
    }
}
