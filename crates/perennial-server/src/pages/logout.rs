//! `/logout` (OpenID Connect RP-Initiated Logout 1.0): ends the browser's login, and the sessions that live by
//! it.
//!
//! A session without `offline_access` lives while its person is signed in (OpenID Connect Core, 11). Signing
//! out through a client ends those of this browser at that client; signing out here, at no client, ends those
//! of this browser at every one. Which sessions are this browser's is told by the moment of authentication that
//! they were born with, so nothing has to be kept for it, and none is forgotten in a race.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use perennial_core::session::EndCause;
use perennial_core::session::change::{Change, Changed, change};
use perennial_core::write::{Applied, Durability, Event, Expect, Write};
use perennial_core::{Session, SessionId, SubjectId};
use perennial_store::{SessionsOf, StoreError};
use serde::{Deserialize, Serialize};

use crate::clients::Client;
use crate::keys::ID_TOKEN;

use super::authorize;
use super::browser_login::{self, BrowserLogin};
use super::csrf;
use super::page::{Page, Template, see_other};
use super::parameters::Parameters;
use super::trouble::{Stop, Trouble, stop_page};
use super::visit::{Submitted, Visit};

/// How often an end is decided anew on a row that others write at the same moment.
const ROUNDS: u8 = 64;
const SLICE: u16 = 100;
/// A person's sessions that are looked through at a sign-out: more than anybody has, so a bound on the work.
const MOST_SLICES: u16 = 50;

/// A sign-out, checked.
struct SignOut {
    client: Option<Arc<Client>>,
    hint: Option<Hint>,
    /// Where to go afterwards: registered for the client, exactly.
    return_to: Option<String>,
    state: Option<String>,
}

/// The claims of an ID token of ours, expired or not, that matter here.
#[derive(Deserialize)]
struct Hint {
    sub: String,
    aud: String,
    sid: Option<String>,
}

/// What the page that asks shows.
#[derive(Serialize)]
struct SignOutPage<'a> {
    client: Option<&'a str>,
    login: &'a str,
    request: String,
    csrf: String,
}

/// What the page at the end shows.
#[derive(Serialize)]
struct SignedOutPage<'a> {
    client: Option<&'a str>,
}

/// `GET /logout`
pub(crate) async fn get(visit: Visit) -> Response {
    let parameters = authorize::read(visit.uri.query().unwrap_or(""));
    let Some(parameters) = parameters else { return stop_page(&visit, Stop::SignOutElsewhere) };
    answer(&visit, &parameters)
        .await
        .unwrap_or_else(|trouble| trouble.page(&visit, logout(&visit, &parameters)))
}

/// `POST /logout`: our own form, or a client's request, which becomes a GET so that cookies come with it.
pub(crate) async fn post(Submitted { visit, form }: Submitted) -> Response {
    if form.text("confirm").is_empty() {
        return see_other(&visit, &logout(&visit, &form), []);
    }
    let parameters = authorize::read(form.text("request"));
    let Some(parameters) = parameters else { return stop_page(&visit, Stop::SignOutElsewhere) };
    if csrf::check(&visit, form.text(csrf::FIELD)).is_err() {
        return stop_page(&visit, Stop::StaleForm { start_again: logout(&visit, &parameters) });
    }
    let confirmed = async {
        match check(&visit, &parameters) {
            Some(sign_out) => carry_out(&visit, &sign_out).await,
            None => Ok(stop_page(&visit, Stop::SignOutElsewhere)),
        }
    };
    confirmed.await.unwrap_or_else(|trouble| trouble.page(&visit, logout(&visit, &parameters)))
}

fn logout(visit: &Visit, parameters: &Parameters) -> String {
    format!("{}/logout?{}", visit.base(), parameters.to_query())
}

async fn answer(visit: &Visit, parameters: &Parameters) -> Result<Response, Trouble> {
    let Some(sign_out) = check(visit, parameters) else {
        return Ok(stop_page(visit, Stop::SignOutElsewhere));
    };
    let login = BrowserLogin::of(visit).await?;
    // Without a hint that names whoever is signed in, any site could sign people out by a link.
    let asks = login
        .as_ref()
        .filter(|login| sign_out.hint.as_ref().is_none_or(|hint| hint.sub != login.account.subject.as_str()));
    let Some(login) = asks else { return carry_out(visit, &sign_out).await };
    let (token, cookie) = csrf::token(visit);
    let body = SignOutPage {
        client: sign_out.client.as_ref().map(|client| client.name.as_str()),
        login: &login.account.login,
        request: parameters.to_query(),
        csrf: token,
    };
    Ok(Page::new(Template::SignOut, body).cookies(cookie).answer(visit))
}

/// `None` where the request names an unknown client, one that the hint was not made for, or an address that is
/// not the client's.
fn check(visit: &Visit, parameters: &Parameters) -> Option<SignOut> {
    let single = |name| parameters.single(name).ok();
    let keys = &visit.service.keys;
    let hint: Option<Hint> = single("id_token_hint")?.and_then(|token| keys.verified(ID_TOKEN, token));
    let named = single("client_id")?;
    if let (Some(named), Some(hint)) = (named, &hint)
        && named != hint.aud
    {
        return None;
    }
    let client = match named.or(hint.as_ref().map(|hint| hint.aud.as_str())) {
        Some(id) => Some(visit.service.clients.named(id).filter(|client| !client.disabled)?),
        None => None,
    };
    let return_to = match single("post_logout_redirect_uri")? {
        Some(asked) => {
            let registered = &client.as_ref()?.post_logout_redirect_uris;
            Some(registered.iter().find(|registered| *registered == asked)?.clone())
        }
        None => None,
    };
    let state = single("state")?.map(str::to_owned);
    Some(SignOut { client, hint, return_to, state })
}

async fn carry_out(visit: &Visit, sign_out: &SignOut) -> Result<Response, Trouble> {
    let client = sign_out.client.as_deref();
    if let Some(login) = BrowserLogin::of(visit).await? {
        end_sessions(visit, &login, client).await?;
        login.end(visit).await?;
        tracing::info!(request_id = %visit.caller.request_id, subject = %login.account.subject, "signed out");
    }
    if let (Some(hint), Some(client)) = (&sign_out.hint, client) {
        end_hinted(visit, hint, client).await?;
    }
    let cookie = browser_login::forget(visit);
    let Some(return_to) = &sign_out.return_to else {
        let body = SignedOutPage { client: client.map(|client| client.name.as_str()) };
        return Ok(Page::new(Template::SignedOut, body)
            .status(StatusCode::OK)
            .cookies([cookie])
            .answer(visit));
    };
    let mut location = return_to.clone();
    if let Some(state) = &sign_out.state {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("state", state).finish();
        location.push(if location.contains('?') { '&' } else { '?' });
        location.push_str(&query);
    }
    Ok(see_other(visit, &location, [cookie]))
}

/// Ends what this browser's login opened and what does not outlive it.
async fn end_sessions(visit: &Visit, login: &BrowserLogin, client: Option<&Client>) -> Result<(), Trouble> {
    let of = SessionsOf::Subject(login.account.subject.clone());
    let mut after = None;
    for _ in 0..MOST_SLICES {
        let slice = visit.service.store.sessions(of.clone(), after, SLICE).await?;
        let is_last = slice.len() < usize::from(SLICE);
        after = slice.last().map(|(sid, _)| *sid);
        for (sid, session) in slice {
            let at_client = client.is_none_or(|client| client.id == session.grant.client);
            if at_client && login.opened(session.grant.authenticated_at) {
                end_unless_offline(visit, sid, session).await?;
            }
        }
        if is_last {
            break;
        }
    }
    Ok(())
}

/// Ends the session that an ID token came from: the client's own, so it may say so without a browser's login.
async fn end_hinted(visit: &Visit, hint: &Hint, client: &Client) -> Result<(), Trouble> {
    let Some(sid) = hint.sid.as_deref().and_then(|sid| sid.parse::<SessionId>().ok()) else { return Ok(()) };
    let Some(session) = visit.service.store.session(sid).await? else { return Ok(()) };
    let subject = SubjectId::from(hint.sub.as_str());
    if session.grant.client == client.id && session.grant.subject == subject {
        end_unless_offline(visit, sid, session).await?;
    }
    Ok(())
}

async fn end_unless_offline(visit: &Visit, sid: SessionId, session: Session) -> Result<(), Trouble> {
    if session.grant.scopes.contains("offline_access") {
        return Ok(());
    }
    let mut session = session;
    for _ in 0..ROUNDS {
        let end = change(&session, Change::End { cause: EndCause::Logout }, visit.now);
        // Ended already is ended.
        let Ok(Changed { next, reason }) = end else { return Ok(()) };
        let event = Event {
            at: visit.now.wall,
            reason,
            generation: next.generation,
            presented: None,
            dispute: None,
            evidence: next.evidence,
            request_id: Some(Arc::clone(&visit.caller.request_id)),
        };
        let write = Write {
            sid,
            expect: Expect::Version(session.hot.version),
            hot: next,
            grant: None,
            ticket: None,
            event,
            durability: Durability::Replicated,
        };
        match visit.service.store.apply(write).await? {
            Applied::Applied(_) | Applied::Absent | Applied::Consumed => return Ok(()),
            Applied::Conflict(current) => session = *current,
        }
    }
    Err(Trouble::Store(StoreError::Overloaded))
}
