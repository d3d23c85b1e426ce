//! Tokens and the answer that carries them (RFC 6749, 5.1; RFC 9068; OpenID Connect Core, 3.1.3.3 and 12.2).

use perennial_core::session::token::TokenKind;
use perennial_core::session::{Narrowing, Session};
use perennial_core::{Generation, Now, Scopes, SessionId, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::clients::{Client, GrantType};
use crate::keys::{ACCESS_TOKEN, ID_TOKEN, NotSigned};
use crate::oauth::session_view::SessionView;
use crate::refusal::Refusal;
use crate::service::Service;

/// The claims of an access token (RFC 9068, 2.2).
#[derive(Serialize)]
struct AccessClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    client_id: &'a str,
    scope: &'a str,
    iat: u64,
    exp: u64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
}

/// The claims of an ID token (OpenID Connect Core, 2).
#[derive(Serialize)]
struct IdClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    auth_time: u64,
    acr: &'a str,
    sid: String,
    at_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

/// What our own endpoints read of an access token of ours.
#[derive(Debug, Deserialize)]
pub(crate) struct OwnAccessClaims {
    pub(crate) iss: String,
    pub(crate) exp: u64,
    pub(crate) scope: String,
    pub(crate) sid: Option<String>,
}

/// The answer (RFC 6749, 5.1).
#[derive(Serialize)]
pub(crate) struct TokenAnswer<'a> {
    access_token: String,
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Seconds (draft-ietf-oauth-refresh-token-expiration).
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token_expires_in: Option<u64>,
    /// Seconds (draft-ietf-oauth-refresh-token-expiration).
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_expires_in: Option<u64>,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionView>,
}

/// What is to be issued for a session.
pub(crate) struct Due<'a> {
    pub(crate) sid: SessionId,
    pub(crate) session: &'a Session,
    /// Of the refresh token.
    pub(crate) generation: Generation,
    pub(crate) narrowing: Narrowing,
    /// What this access token alone is narrowed to.
    pub(crate) scope: Option<&'a Scopes>,
    /// Of the authorization request; repeated once, when its code is redeemed.
    pub(crate) nonce: Option<&'a str>,
}

/// Mints the tokens of a session.
pub(crate) fn for_session<T>(
    service: &Service,
    client: &Client,
    due: &Due<'_>,
    now: Now,
    answer: impl FnOnce(&TokenAnswer<'_>) -> T,
) -> Result<T, Refusal> {
    let (grant, hot) = (&due.session.grant, &due.session.hot);
    let none = Scopes::none();
    let scopes = match due.narrowing {
        Narrowing::Granted => due.scope.unwrap_or(&grant.scopes),
        // No policy names grace scopes yet: an ending session may only read its own state.
        Narrowing::Grace => &none,
    };
    let absolute_in = seconds_until(grant.absolute_at, now);
    let lifetime = lifetime_s(client, service).min(absolute_in);
    let (sid, iat) = (due.sid.to_string(), now.wall.seconds());
    let access = AccessClaims {
        iss: &service.issuer,
        sub: grant.subject.as_str(),
        aud: client.audience.as_deref().unwrap_or(&service.issuer),
        client_id: client.id.as_str(),
        scope: scopes.as_str(),
        iat,
        exp: expiry_s(now.wall, lifetime),
        jti: jti()?,
        sid: Some(sid.clone()),
        auth_time: Some(grant.authenticated_at.seconds()),
        acr: Some(&grant.acr),
    };
    let access_token = service.keys.sign(ACCESS_TOKEN, &access).map_err(not_signed)?;
    let id_token = if scopes.contains("openid") {
        let claims = IdClaims {
            iss: access.iss,
            sub: access.sub,
            aud: client.id.as_str(),
            iat,
            exp: access.exp,
            auth_time: grant.authenticated_at.seconds(),
            acr: &grant.acr,
            sid,
            at_hash: service.keys.at_hash(&access_token),
            nonce: due.nonce,
        };
        Some(service.keys.sign(ID_TOKEN, &claims).map_err(not_signed)?)
    } else {
        None
    };
    let refresh_token = client
        .may_use(GrantType::RefreshToken)
        .then(|| service.keys.ring().mint(TokenKind::Refresh, &grant.secret, due.sid, due.generation));
    let idle_in = seconds_until(now.wall_of(hot.idle_at), now).min(absolute_in);
    Ok(answer(&TokenAnswer {
        access_token,
        token_type: "Bearer",
        expires_in: lifetime,
        refresh_token_expires_in: refresh_token.is_some().then_some(idle_in),
        refresh_token,
        authorization_expires_in: Some(absolute_in),
        scope: scopes.as_str(),
        id_token,
        session: Some(SessionView::of(due.sid, due.session, now).refreshing_after(lifetime)),
    }))
}

/// `exp` of a token that lives `lifetime_s` from `now`: rounded up, so that it never expires before the
/// `expires_in` that came with it.
const fn expiry_s(now: UnixMillis, lifetime_s: u64) -> u64 {
    now.0.div_ceil(1000) + lifetime_s
}

/// Mints an access token for the client itself: no session, no refresh token (RFC 6749, 4.4.3).
pub(crate) fn for_client<T>(
    service: &Service,
    client: &Client,
    scopes: &Scopes,
    answer: impl FnOnce(&TokenAnswer<'_>) -> T,
) -> Result<T, Refusal> {
    let (lifetime, wall) = (lifetime_s(client, service), service.clock.now().wall);
    let access = AccessClaims {
        iss: &service.issuer,
        sub: client.id.as_str(),
        aud: client.audience.as_deref().unwrap_or(&service.issuer),
        client_id: client.id.as_str(),
        scope: scopes.as_str(),
        iat: wall.seconds(),
        exp: expiry_s(wall, lifetime),
        jti: jti()?,
        sid: None,
        auth_time: None,
        acr: None,
    };
    Ok(answer(&TokenAnswer {
        access_token: service.keys.sign(ACCESS_TOKEN, &access).map_err(not_signed)?,
        token_type: "Bearer",
        expires_in: lifetime,
        refresh_token: None,
        refresh_token_expires_in: None,
        authorization_expires_in: None,
        scope: scopes.as_str(),
        id_token: None,
        session: None,
    }))
}

fn lifetime_s(client: &Client, service: &Service) -> u64 {
    client.rules(&service.policy.load()).access_lifetime_ms / 1000
}

fn seconds_until(at: UnixMillis, now: Now) -> u64 {
    at.0.saturating_sub(now.wall.0) / 1000
}

fn jti() -> Result<String, Refusal> {
    use base64::Engine as _;
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| not_signed(NotSigned))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

/// Whatever was written stays as it is: asked again, the same successor comes of it.
fn not_signed(error: NotSigned) -> Refusal {
    tracing::error!(%error, "an answer could not be made");
    Refusal::unavailable("not_signed", "The server could not sign its answer. Try again.", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_expires_before_it_was_said_to() {
        for ms in [0, 1, 500, 999, 1000] {
            let now = UnixMillis(1_800_000_000_000 + ms);
            let lives_ms = expiry_s(now, 20) * 1000 - now.0;
            assert!((20_000..21_000).contains(&lives_ms), "{ms}: {lives_ms}");
        }
    }
}
