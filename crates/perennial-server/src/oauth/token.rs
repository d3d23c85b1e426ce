//! `/token` (RFC 6749, 3.2): codes and refresh tokens become tokens; a service gets some for itself.
//!
//! The way of a refresh: form, client, retry key, token and row, decision and write, tokens. Everything that a
//! client can get wrong is said before the decision, so that it consumes nothing.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use perennial_core::session::retry_key::RetryKeyHash;
use perennial_core::session::token::TokenKind;
use perennial_core::session::{Context, Presented, Verdict, decide, redeem};
use perennial_core::{Scopes, Session};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::clients::{Client, GrantType};
use crate::net::caller::Caller;
use crate::oauth::answer;
use crate::oauth::client_authentication::{Authenticated, authenticate};
use crate::oauth::code::CodeAgreement;
use crate::oauth::form::{self, Form, Parameter};
use crate::oauth::issue::{self, Due};
use crate::oauth::presentation::{self, Presentation};
use crate::oauth::refused::refused;
use crate::oauth::settle::{Matter, Settled, settle};
use crate::refusal::{ErrorCode, Refusal};
use crate::service::Service;

/// `POST /token`.
pub(crate) async fn post(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let outcome = match form::body(&head.uri, &head.headers, body).await {
        Ok(body) => grant(&service, &caller, &head.headers, &body).await,
        Err(refusal) => Err(refusal),
    };
    answer::finish(&service, &caller, &head.headers, outcome)
}

async fn grant(
    service: &Service,
    caller: &Caller,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Refusal> {
    let form = Form::parse(body)?;
    let by = authenticate(&service.clients, headers, &form)?;
    let grant_type = grant_type(&form, &by.client)?;
    resource(service, &form, &by.client)?;
    let retry_key = presentation::retry_key(headers, &form)?;
    let asked = Asked {
        service,
        caller,
        form: &form,
        retry_key,
        context: presentation::context(service, caller, headers, &by.client, retry_key),
        by: &by,
    };
    match grant_type {
        GrantType::RefreshToken => asked.refresh().await,
        GrantType::AuthorizationCode => asked.redeem().await,
        GrantType::ClientCredentials => asked.client_credentials(),
    }
}

fn grant_type(form: &Form<'_>, client: &Client) -> Result<GrantType, Refusal> {
    let grant_type = match form.required(Parameter::GrantType)? {
        "refresh_token" => GrantType::RefreshToken,
        "authorization_code" => GrantType::AuthorizationCode,
        "client_credentials" => GrantType::ClientCredentials,
        _ => {
            return Err(Refusal::new(
                ErrorCode::UnsupportedGrantType,
                "grant_type",
                "The grant type must be authorization_code, refresh_token or client_credentials.",
            ));
        }
    };
    if !client.may_use(grant_type) {
        return Err(Refusal::new(
            ErrorCode::UnauthorizedClient,
            "grant_type",
            "The client is not registered for this grant type.",
        ));
    }
    Ok(grant_type)
}

/// A client has one resource, its audience; any other is refused (RFC 8707, 2).
fn resource(service: &Service, form: &Form<'_>, client: &Client) -> Result<(), Refusal> {
    let audience = client.audience.as_deref().unwrap_or(&service.issuer);
    match form.value(Parameter::Resource) {
        Some(resource) if resource != audience => Err(Refusal::new(
            ErrorCode::InvalidTarget,
            "resource",
            "The client gets no tokens for this resource.",
        )),
        Some(_) | None => Ok(()),
    }
}

/// One well-formed request of an authenticated client.
struct Asked<'a> {
    service: &'a Service,
    caller: &'a Caller,
    form: &'a Form<'a>,
    retry_key: Option<RetryKeyHash>,
    context: Context,
    by: &'a Authenticated,
}

impl Asked<'_> {
    async fn refresh(&self) -> Result<Response, Refusal> {
        let text = self.form.required(Parameter::RefreshToken)?;
        let narrowed = self.scope()?;
        let Presentation { token, session } =
            presentation::find(self.service, TokenKind::Refresh, text, &self.by.client).await?;
        if let Some(scope) = &narrowed {
            within(scope, &session.grant.scopes)?;
        }
        let presented = self.presented(&token);
        let rules = self.by.client.rules(&self.service.policy.load());
        let settled = settle(self.service, self.matter(&token), session, |session, now| {
            decide(session, &presented, &self.context, &rules, now)
        })
        .await?;
        self.answer(&token, &settled, narrowed.as_ref(), None)
    }

    async fn redeem(&self) -> Result<Response, Refusal> {
        let text = self.form.required(Parameter::Code)?;
        let verifier = self.form.required(Parameter::CodeVerifier)?;
        let Presentation { token, session } =
            presentation::find(self.service, TokenKind::Code, text, &self.by.client).await?;
        let agreement = self.agreement(token.sid, &session).await?;
        self.keeps(&agreement, verifier)?;
        let presented = self.presented(&token);
        let rules = self.by.client.rules(&self.service.policy.load());
        let settled = settle(self.service, self.matter(&token), session, |session, now| {
            redeem(session, &presented, &self.context, &rules, now)
        })
        .await?;
        self.answer(&token, &settled, None, agreement.nonce.as_deref())
    }

    fn client_credentials(&self) -> Result<Response, Refusal> {
        let client = &self.by.client;
        if !client.is_confidential() {
            return Err(Refusal::new(
                ErrorCode::UnauthorizedClient,
                "public_client",
                "Only a confidential client may ask for itself (RFC 6749, 4.4).",
            ));
        }
        let scopes = match self.scope()? {
            Some(asked) => {
                within(&asked, &client.scopes)?;
                asked
            }
            None => client.scopes.clone(),
        };
        tracing::info!(client = %client.id, reason = "client_credentials", outcome = "issued", "decided");
        issue::for_client(self.service, client, &scopes, |tokens| answer::json(tokens))
    }

    /// What was agreed with the code; kept for a day, so a code without it is long over.
    async fn agreement(
        &self,
        sid: perennial_core::SessionId,
        session: &Session,
    ) -> Result<CodeAgreement, Refusal> {
        let Some(ticket) = self.service.store.ticket(&CodeAgreement::key(sid)).await? else {
            let refusal =
                Refusal::new(ErrorCode::InvalidGrant, "expired_idle", "The code was not redeemed in time.");
            return Err(refusal.with_continuity(session.grant.continuity));
        };
        serde_json::from_slice(&ticket.payload).map_err(|error| {
            Refusal::from(perennial_store::StoreError::Damaged {
                what: format!("the agreement of session {sid}"),
                why: error.to_string(),
            })
        })
    }

    /// RFC 6749, 4.1.3 and RFC 7636, 4.6.
    fn keeps(&self, agreement: &CodeAgreement, verifier: &str) -> Result<(), Refusal> {
        let named = match &agreement.redirect_uri {
            Some(_) => Some(self.form.required(Parameter::RedirectUri)?),
            None => self.form.value(Parameter::RedirectUri),
        };
        if named != agreement.redirect_uri.as_deref() {
            return Err(Refusal::new(
                ErrorCode::InvalidGrant,
                "redirect_uri",
                "The redirect URI is not the one of the authorization request.",
            ));
        }
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        let is_kept = is_verifier(verifier)
            && bool::from(challenge.as_bytes().ct_eq(agreement.code_challenge.as_bytes()));
        if is_kept {
            return Ok(());
        }
        Err(Refusal::new(
            ErrorCode::InvalidGrant,
            "code_verifier",
            "The code verifier does not belong to the code challenge of the authorization request.",
        ))
    }

    fn scope(&self) -> Result<Option<Scopes>, Refusal> {
        let parsed = self.form.value(Parameter::Scope).map(Scopes::parse).transpose();
        parsed.map_err(|error| Refusal::new(ErrorCode::InvalidScope, "scope", format!("Malformed: {error}.")))
    }

    fn presented(&self, token: &perennial_core::session::token::OpenedToken) -> Presented {
        Presented { generation: token.generation, retry_key: self.retry_key, holder: self.by.holder() }
    }

    fn matter(&self, token: &perennial_core::session::token::OpenedToken) -> Matter<'_> {
        Matter { sid: token.sid, presented: token.generation, request_id: &self.caller.request_id }
    }

    fn answer(
        &self,
        token: &perennial_core::session::token::OpenedToken,
        settled: &Settled,
        scope: Option<&Scopes>,
        nonce: Option<&str>,
    ) -> Result<Response, Refusal> {
        let client = &self.by.client;
        let Settled { decision, session, now } = settled;
        let issued = matches!(decision.verdict, Verdict::Issue { .. });
        tracing::info!(
            sid = %token.sid,
            client = %client.id,
            presented = token.generation.0,
            generation = session.hot.generation.0,
            reason = decision.reason.as_str(),
            outcome = if issued { "issued" } else { "refused" },
            request_id = %self.caller.request_id,
            "decided"
        );
        match decision.verdict {
            Verdict::Issue { generation, scopes: narrowing, .. } => {
                let due = Due { sid: token.sid, session, generation, narrowing, scope, nonce };
                issue::for_session(self.service, client, &due, *now, |tokens| answer::json(tokens))
            }
            Verdict::Refuse(refusal) => Err(refused(self.service, client, refusal, settled)),
        }
    }
}

fn within(asked: &Scopes, granted: &Scopes) -> Result<(), Refusal> {
    if asked.is_within(granted) {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::InvalidScope, "scope", "The scope goes beyond what was granted."))
}

/// RFC 7636, 4.1: 43 to 128 unreserved characters.
fn is_verifier(text: &str) -> bool {
    (43..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}
