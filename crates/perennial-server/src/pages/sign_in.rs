//! The sign-in page, and what becomes of a name and a password.
//!
//! The page carries the authorization request in a hidden field, and the request is checked anew when the form
//! comes: nothing is kept on the server meanwhile, so any number of tabs, and any node, will do.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use crate::accounts::{Account, AccountsError};

use super::authorize::{self, hinted_subject, login_required, not_answered, refuse, too_large};
use super::browser_login::BrowserLogin;
use super::csrf;
use super::page::{Page, Template, see_other};
use super::parameters::Parameters;
use super::request::AuthorizationRequest;
use super::trouble::{Stop, Trouble, stop_page};
use super::visit::{Submitted, Visit};

/// What the page shows.
#[derive(Serialize)]
struct SignInPage<'a> {
    client: &'a str,
    login: &'a str,
    request: String,
    csrf: String,
    error: Option<String>,
    /// Somebody is signed in already, and has to prove it.
    again: bool,
}

/// What came of an attempt.
enum Attempt {
    Right(Box<Account>),
    Wrong,
    TooMany { retry_after_s: u32 },
    Busy { retry_after_s: u32 },
}

/// The page for a request; `login` is whoever is signed in and has to prove it again.
pub(crate) fn page(
    visit: &Visit,
    request: &AuthorizationRequest,
    parameters: &Parameters,
    login: Option<&BrowserLogin>,
) -> Response {
    let known = login.map(|login| login.account.login.as_str());
    let name = request.login_hint.as_deref().or(known).unwrap_or("");
    show(visit, request, parameters, name, None, login.is_some())
}

/// `POST /sign-in`
pub(crate) async fn post(Submitted { visit, form }: Submitted) -> Response {
    let Some(parameters) = authorize::read(form.text("request")) else { return too_large(&visit) };
    if csrf::check(&visit, form.text(csrf::FIELD)).is_err() {
        return stop_page(&visit, Stop::StaleForm { start_again: visit.authorize(&parameters) });
    }
    let request = match AuthorizationRequest::check(&visit.service.clients, &parameters) {
        Ok(request) => request,
        Err(not) => return not_answered(&visit, not),
    };
    let name = form.text("username");
    match attempt(&visit, name, form.text("password")).await {
        Ok(Attempt::Right(account)) => match enter(&visit, &request, &parameters, &account).await {
            Ok(response) => response,
            Err(trouble) => trouble.page(&visit, visit.authorize(&parameters)),
        },
        Ok(refused) => show(&visit, &request, &parameters, name, Some(&refused), false),
        Err(trouble) => trouble.page(&visit, visit.authorize(&parameters)),
    }
}

/// `GET /sign-in`: somebody asks for the address of the form again.
pub(crate) async fn get(visit: Visit) -> Response {
    stop_page(&visit, Stop::NotFromAnApp)
}

async fn attempt(visit: &Visit, name: &str, password: &str) -> Result<Attempt, Trouble> {
    let accounts = &visit.service.accounts;
    let (addr, now) = (visit.caller.addr, visit.now.service);
    if let Err(too_many) = accounts.attempts.may_try(name, addr, now) {
        return Ok(Attempt::TooMany { retry_after_s: too_many.retry_after_s });
    }
    match accounts.authenticate(visit.service.store.as_ref(), name, password).await {
        Ok(Some(account)) => {
            accounts.attempts.succeeded(name, addr);
            Ok(Attempt::Right(Box::new(account)))
        }
        Ok(None) => {
            accounts.attempts.failed(name, addr, now);
            tracing::info!(request_id = %visit.caller.request_id, "a sign-in was refused");
            Ok(Attempt::Wrong)
        }
        Err(AccountsError::Busy { retry_after_s }) => Ok(Attempt::Busy { retry_after_s }),
        Err(error) => Err(error.into()),
    }
}

/// Signs in, and goes back to the request without what this sign-in has met. Whoever leaves `prompt` or
/// `max_age` out by hand gains nothing: the client checks `auth_time`.
async fn enter(
    visit: &Visit,
    request: &AuthorizationRequest,
    parameters: &Parameters,
    account: &Account,
) -> Result<Response, Trouble> {
    match hinted_subject(visit, request) {
        Ok(Some(hinted)) if hinted != account.subject => return Ok(refuse(visit, &login_required(request))),
        Ok(_) => {}
        Err(answer) => return Ok(refuse(visit, &answer)),
    }
    let cookie = BrowserLogin::begin(visit, account).await?;
    tracing::info!(request_id = %visit.caller.request_id, subject = %account.subject, "signed in");
    let mut rest = parameters.without(&["prompt", "max_age"]);
    if request.prompt.consent {
        rest = rest.and("prompt", "consent");
    }
    Ok(see_other(visit, &visit.authorize(&rest), [cookie]))
}

/// A refused attempt is shown as 422: the form was read, and what it says does not hold. 401 would have to name
/// an authentication scheme (RFC 9110, 15.5.2), and 200 would hide guessing from every log.
fn show(
    visit: &Visit,
    request: &AuthorizationRequest,
    parameters: &Parameters,
    login: &str,
    refused: Option<&Attempt>,
    again: bool,
) -> Response {
    let (status, retry_after_s, error) = match refused {
        None | Some(Attempt::Right(_)) => (StatusCode::OK, None, None),
        Some(Attempt::Wrong) => {
            let words =
                "This username and password do not belong together. Check both and try again.".to_owned();
            (StatusCode::UNPROCESSABLE_ENTITY, None, Some(words))
        }
        Some(&Attempt::TooMany { retry_after_s }) => {
            let words =
                format!("Too many attempts. Please wait {}, then try again.", in_words(retry_after_s));
            (StatusCode::TOO_MANY_REQUESTS, Some(retry_after_s), Some(words))
        }
        Some(&Attempt::Busy { retry_after_s }) => {
            let words = "Many people are signing in right now. Please try again in a few seconds.".to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, Some(retry_after_s), Some(words))
        }
    };
    let (token, cookie) = csrf::token(visit);
    let body = SignInPage {
        client: &request.client.name,
        login,
        request: parameters.to_query(),
        csrf: token,
        error,
        again,
    };
    Page::new(Template::SignIn, body)
        .status(status)
        .retry_after_s(retry_after_s)
        .cookies(cookie)
        .answer(visit)
}

fn in_words(seconds: u32) -> String {
    match seconds {
        0..=1 => "a second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}
