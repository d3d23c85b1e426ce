//! Consent: what a client of somebody else's gets, in plain words, asked once for each set of scopes.

use axum::response::Response;
use perennial_core::{Scopes, SubjectId};
use perennial_store::{PutRecord, Record, RecordKind, StoreError};
use serde::{Deserialize, Serialize};

use crate::clients::{Client, Consent};

use super::authorize::{self, not_answered, refuse, send_code, too_large};
use super::browser_login::BrowserLogin;
use super::csrf;
use super::page::{Page, Template, see_other};
use super::parameters::Parameters;
use super::request::{AuthorizationError, AuthorizationRequest};
use super::trouble::{Stop, Trouble, stop_page};
use super::visit::{Submitted, Visit};

/// How often a record that others write at the same moment is written anew.
const ROUNDS: u8 = 8;

/// What the page shows.
#[derive(Serialize)]
struct ConsentPage<'a> {
    client: &'a str,
    login: &'a str,
    name: &'a str,
    asks: Vec<Ask<'a>>,
    /// Where the answer goes.
    destination: &'a str,
    subject: &'a str,
    request: String,
    csrf: String,
    /// The address that asks for another account.
    other_account: String,
}

/// One scope in words.
#[derive(Serialize)]
struct Ask<'a> {
    what: &'a str,
    why: &'a str,
    /// The scope's own name, where we have no words for it.
    scope: Option<&'a str>,
}

/// What a person agreed to at a client.
#[derive(Serialize, Deserialize)]
struct Agreed {
    scopes: Scopes,
    /// Unix milliseconds.
    at: u64,
}

/// Whether the person has to be asked.
pub(crate) async fn is_due(
    visit: &Visit,
    request: &AuthorizationRequest,
    subject: &SubjectId,
) -> Result<bool, Trouble> {
    if request.prompt.consent {
        return Ok(true);
    }
    match request.client.consent {
        Consent::NotNeeded => Ok(false),
        Consent::Ask => {
            let (agreed, _) = agreed(visit, &request.client, subject).await?;
            Ok(!agreed.is_some_and(|agreed| request.scopes.is_within(&agreed)))
        }
    }
}

/// The page that asks.
pub(crate) fn page(
    visit: &Visit,
    request: &AuthorizationRequest,
    parameters: &Parameters,
    login: &BrowserLogin,
) -> Response {
    let (token, cookie) = csrf::token(visit);
    let account = &login.account;
    let other = parameters.without(&["prompt", "login_hint"]).and("prompt", "select_account");
    let body = ConsentPage {
        client: &request.client.name,
        login: &account.login,
        name: account.name.as_deref().unwrap_or(&account.login),
        asks: request.scopes.iter().map(ask).collect(),
        destination: destination(&request.return_to.redirect_uri),
        subject: account.subject.as_str(),
        request: parameters.to_query(),
        csrf: token,
        other_account: visit.authorize(&other),
    };
    Page::new(Template::Consent, body).cookies(cookie).answer(visit)
}

/// `POST /consent`
pub(crate) async fn post(Submitted { visit, form }: Submitted) -> Response {
    let Some(parameters) = authorize::read(form.text("request")) else { return too_large(&visit) };
    if csrf::check(&visit, form.text(csrf::FIELD)).is_err() {
        return stop_page(&visit, Stop::StaleForm { start_again: visit.authorize(&parameters) });
    }
    let request = match AuthorizationRequest::check(&visit.service.clients, &parameters) {
        Ok(request) => request,
        Err(not) => return not_answered(&visit, not),
    };
    match decided(&visit, &request, &parameters, &form).await {
        Ok(response) => response,
        Err(trouble) => trouble.page(&visit, visit.authorize(&parameters)),
    }
}

/// `GET /consent`: somebody asks for the address of the form again.
pub(crate) async fn get(visit: Visit) -> Response {
    stop_page(&visit, Stop::NotFromAnApp)
}

async fn decided(
    visit: &Visit,
    request: &AuthorizationRequest,
    parameters: &Parameters,
    form: &Parameters,
) -> Result<Response, Trouble> {
    let rules = request.client.rules(&visit.service.policy.load());
    // Whoever agrees must still be signed in, as the person that the page named, and recently enough.
    let login = BrowserLogin::of(visit).await?.filter(|login| {
        login.account.subject.as_str() == form.text("subject")
            && !request.prompt.login
            && request.is_satisfied_by(login.authenticated_at, &rules, visit.now)
    });
    let Some(login) = login else { return Ok(see_other(visit, &visit.authorize(parameters), [])) };
    match form.text("decision") {
        "allow" => {
            remember(visit, request, &login.account.subject).await?;
            send_code(visit, request, &login).await
        }
        "deny" => {
            let return_to = request.return_to.clone();
            let denied = return_to.refuse(AuthorizationError::AccessDenied, "the person did not agree");
            Ok(refuse(visit, &denied))
        }
        _ => Ok(see_other(visit, &visit.authorize(parameters), [])),
    }
}

async fn remember(visit: &Visit, request: &AuthorizationRequest, subject: &SubjectId) -> Result<(), Trouble> {
    for _ in 0..ROUNDS {
        let (before, expect) = agreed(visit, &request.client, subject).await?;
        let scopes = match before {
            Some(before) if request.scopes.is_within(&before) => return Ok(()),
            Some(before) => Scopes::parse(&format!("{before} {}", request.scopes))
                .map_err(|_| Trouble::Bug("two sets of scopes do not make one"))?,
            None => request.scopes.clone(),
        };
        let body = serde_json::to_vec(&Agreed { scopes, at: visit.now.wall.0 })
            .map_err(|_| Trouble::Bug("a consent is not JSON"))?;
        let key = key(&request.client, subject);
        let put = PutRecord { kind: RecordKind::Consent, key, expect, body };
        if visit.service.store.put_records(vec![put]).await? {
            return Ok(());
        }
    }
    Err(Trouble::Store(StoreError::Overloaded))
}

/// What was agreed before, and the record's version.
async fn agreed(
    visit: &Visit,
    client: &Client,
    subject: &SubjectId,
) -> Result<(Option<Scopes>, u32), Trouble> {
    let record = visit.service.store.record(RecordKind::Consent, &key(client, subject)).await?;
    let Some(Record { body, version, .. }) = record else { return Ok((None, 0)) };
    let agreed: Agreed =
        serde_json::from_slice(&body).map_err(|_| Trouble::Bug("a consent is not what was written"))?;
    Ok((Some(agreed.scopes), version))
}

fn key(client: &Client, subject: &SubjectId) -> String {
    format!("{subject}\0{}", client.id)
}

fn ask(scope: &str) -> Ask<'_> {
    let (what, why) = match scope {
        "openid" => ("Know that it is you", "A number that stands for your account, and when you signed in."),
        "profile" => ("See your name", "Your name, and the name that you sign in with."),
        "email" => ("See your e-mail address", ""),
        "phone" => ("See your telephone number", ""),
        "address" => ("See your postal address", ""),
        "offline_access" => {
            ("Stay connected", "Also while you are not using it, and after you sign out here.")
        }
        _ => return Ask { what: "Use the permission", why: "", scope: Some(scope) },
    };
    Ask { what, why, scope: None }
}

/// Scheme and host of a redirect URI: what tells a person where the answer goes.
fn destination(redirect_uri: &str) -> &str {
    let after_scheme = redirect_uri.find("://").map_or(redirect_uri.len(), |at| at + 3);
    let host_ends = redirect_uri[after_scheme..].find(['/', '?']).map(|at| after_scheme + at);
    match host_ends {
        Some(ends) => &redirect_uri[..ends],
        None => redirect_uri,
    }
}
