//! The birth of a session: what the person agreed to becomes a row, and its authorization code the generation
//! before the first.

use std::sync::Arc;

use perennial_core::session::token::TokenKind;
use perennial_core::session::{Birth, Grant, Reason, SessionSecret};
use perennial_core::write::{Applied, Durability, Event, Expect, Ticket, TicketChange, Write};
use perennial_core::{ContinuityId, Generation, Session, SessionId};

use crate::accounts::random::random_bytes;
use crate::oauth::code::{AGREEMENT_KEPT_MS, CodeAgreement};

use super::browser_login::{ACR_PASSWORD, BrowserLogin};
use super::request::AuthorizationRequest;
use super::trouble::Trouble;
use super::visit::Visit;

/// Opens a session and returns its authorization code, once both are durable.
pub(crate) async fn code(
    visit: &Visit,
    request: &AuthorizationRequest,
    login: &BrowserLogin,
) -> Result<String, Trouble> {
    let now = visit.now;
    let sid = SessionId::new(now.wall, random_bytes());
    let session = born(visit, request, login);
    let agreement = CodeAgreement {
        redirect_uri: request.return_to.redirect_uri.clone(),
        code_challenge: request.code_challenge.clone(),
        nonce: request.nonce.clone(),
    };
    let ticket = Ticket {
        key: CodeAgreement::key(sid),
        expires_at: now.wall.plus(AGREEMENT_KEPT_MS),
        payload: serde_json::to_vec(&agreement).map_err(|_| Trouble::Bug("an agreement is not JSON"))?,
    };
    let event = Event {
        at: now.wall,
        reason: Reason::Born,
        generation: Generation(0),
        presented: None,
        dispute: None,
        evidence: 0,
        request_id: Some(Arc::clone(&visit.caller.request_id)),
    };
    let write = Write {
        sid,
        expect: Expect::Absent,
        hot: session.hot,
        grant: Some(Arc::clone(&session.grant)),
        ticket: Some(TicketChange::Put(ticket)),
        event,
        durability: Durability::Replicated,
    };
    match visit.service.store.apply(write).await? {
        Applied::Applied(_) => {}
        // The id has 74 random bits, drawn a moment ago.
        Applied::Conflict(_) | Applied::Absent | Applied::Consumed => {
            return Err(Trouble::Bug("a new session's id is taken"));
        }
    }
    Ok(visit.service.keys.ring().mint(TokenKind::Code, &session.grant.secret, sid, Generation(0)))
}

fn born(visit: &Visit, request: &AuthorizationRequest, login: &BrowserLogin) -> Session {
    let now = visit.now;
    let rules = request.client.rules(&visit.service.policy.load());
    let grant = Grant {
        subject: login.account.subject.clone(),
        client: request.client.id.clone(),
        scopes: request.scopes.clone(),
        continuity: ContinuityId::new(now.wall, random_bytes()),
        secret: SessionSecret(random_bytes()),
        born_at: now.wall,
        authenticated_at: login.authenticated_at,
        acr: ACR_PASSWORD.into(),
        // From the authentication on, not from the birth: only another one moves it (INV-5).
        absolute_at: login.authenticated_at.plus(rules.absolute_ms),
        bound_key: None,
    };
    let birth = Birth { now, code_lifetime_ms: rules.code_lifetime_ms, policy_version: rules.policy_version };
    Session::born(grant, birth)
}
