//! The birth of a session: what the person agreed to becomes a row, and its authorization code the generation
//! before the first.

use std::sync::Arc;

use perennial_core::session::token::TokenKind;
use perennial_core::session::{Birth, Grant, Reason, SessionSecret};
use perennial_core::write::{Applied, Durability, Event, Expect, Ticket, TicketChange, Write};
use perennial_core::{ContinuityId, Generation, Session, SessionId};
use perennial_store::StoreError;

use crate::accounts::random::random_bytes;
use crate::oauth::code::{AGREEMENT_KEPT_MS, CodeAgreement};

use super::browser_login::{ACR_PASSWORD, BrowserLogin};
use super::request::AuthorizationRequest;
use super::trouble::Trouble;
use super::visit::Visit;

/// How often another id is drawn where the store finds one taken.
const DRAWS: u8 = 4;

/// Opens a session and returns its authorization code, once both are durable.
pub(crate) async fn code(
    visit: &Visit,
    request: &AuthorizationRequest,
    login: &BrowserLogin,
) -> Result<String, Trouble> {
    let session = born(visit, request, login);
    for _ in 0..DRAWS {
        let sid = SessionId::new(visit.now.wall, random_bytes());
        match visit.service.store.apply(write(visit, request, &session, sid)?).await {
            Ok(Applied::Applied(_)) => {
                let ring = visit.service.keys.ring();
                return Ok(ring.mint(TokenKind::Code, &session.grant.secret, sid, Generation(0)));
            }
            Ok(Applied::Conflict(_)) | Err(StoreError::SidTaken) => {}
            Ok(Applied::Absent | Applied::Consumed) => {
                return Err(Trouble::Bug("a birth was answered as if it had been a change"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::SidTaken.into())
}

fn write(
    visit: &Visit,
    request: &AuthorizationRequest,
    session: &Session,
    sid: SessionId,
) -> Result<Write, Trouble> {
    let agreement = CodeAgreement {
        redirect_uri: request.named_redirect_uri.clone(),
        code_challenge: request.code_challenge.clone(),
        nonce: request.nonce.clone(),
    };
    let ticket = Ticket {
        key: CodeAgreement::key(sid),
        expires_at: visit.now.wall.plus(AGREEMENT_KEPT_MS),
        payload: serde_json::to_vec(&agreement).map_err(|_| Trouble::Bug("an agreement is not JSON"))?,
    };
    let event = Event {
        at: visit.now.wall,
        reason: Reason::Born,
        generation: Generation(0),
        presented: None,
        dispute: None,
        evidence: 0,
        request_id: Some(Arc::clone(&visit.caller.request_id)),
    };
    Ok(Write {
        sid,
        expect: Expect::Absent,
        hot: session.hot,
        grant: Some(Arc::clone(&session.grant)),
        ticket: Some(TicketChange::Put(ticket)),
        event,
        durability: Durability::Replicated,
    })
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
