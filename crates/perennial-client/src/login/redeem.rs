//! From a code to tokens. The retry key is drawn before the code leaves, so that a lost answer costs nothing.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Client;
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::LoginError;
use super::discovery::{Discovered, discover};
use crate::credentials::{AccessToken, Issued, RetryKey};
use crate::driver::http::{ClientAuthentication, post, token_client};
use crate::driver::{Timeouts, clock};
use crate::engine::{Outcome, TransportFailure, read_answer, retry_delay_ms};
use crate::secret::Secret;

/// How often a redemption is tried while answers are lost or the server is busy.
const TRIES_MAX: u32 = 8;

/// What proves that the code is ours.
#[derive(Clone, Copy)]
pub(super) struct Redemption<'a> {
    pub(super) code: &'a Secret,
    pub(super) redirect_uri: &'a str,
    pub(super) verifier: &'a Secret,
}

/// Redeems an authorization code (RFC 6749, 4.1.3; RFC 7636, 4.5).
pub(super) async fn redeem(
    http: &Client,
    discovered: &Discovered,
    client_id: &str,
    redemption: Redemption<'_>,
) -> Result<Issued, LoginError> {
    let key = discovered.retry_key_welcome.then(|| RetryKey::draw(&clock::entropy()));
    let form = [
        ("grant_type", "authorization_code"),
        ("code", redemption.code.expose()),
        ("redirect_uri", redemption.redirect_uri),
        ("code_verifier", redemption.verifier.expose()),
    ];
    let client = ClientAuthentication { client_id, client_secret: None };
    let mut failures = 0;
    loop {
        failures += 1;
        let tried = try_once(http, &discovered.token_endpoint, &form, client, key.as_ref()).await;
        let (error, retry_after_ms) = match tried {
            Ok(issued) => return Ok(*issued),
            Err(tried) => tried,
        };
        // Without a retry key a second use of a code that may have arrived ends the session (RFC 6749, 4.1.2).
        let again = error.is_retriable() && (key.is_some() || consumed_nothing(&error));
        if !again || failures >= TRIES_MAX {
            return Err(error);
        }
        let wait_ms = retry_delay_ms(failures, retry_after_ms, clock::entropy().roll());
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    }
}

fn consumed_nothing(error: &LoginError) -> bool {
    matches!(
        error,
        LoginError::Transport { failure: TransportFailure::Unreachable(_), .. } | LoginError::Refused(_)
    )
}

async fn try_once(
    http: &Client,
    token_endpoint: &Url,
    form: &[(&str, &str)],
    client: ClientAuthentication<'_>,
    key: Option<&RetryKey>,
) -> Result<Box<Issued>, (LoginError, Option<u64>)> {
    let asked_at = clock::now();
    let answer = post(http, token_endpoint.as_str(), form, client, key.map(RetryKey::expose)).await;
    let at = token_endpoint.to_string();
    let answer = answer.map_err(|failure| (LoginError::Transport { at, failure }, None))?;
    match read_answer(&answer, &asked_at, &clock::now()) {
        Outcome::Issued(issued) => Ok(issued),
        Outcome::Refused(refusal) => {
            let retry_after_ms = refusal.retry_after_ms;
            Err((LoginError::Refused(refusal), retry_after_ms))
        }
        Outcome::Unbelievable { why, retry_after_ms } => Err((LoginError::Unbelievable(why), retry_after_ms)),
    }
}

/// A token for a confidential client itself (RFC 6749, 4.4). There is nothing to refresh: call it again.
///
/// # Errors
/// The server cannot be reached, or refuses the client.
pub async fn client_credentials(
    issuer: &str,
    client_id: &str,
    client_secret: &Secret,
    scope: Option<&str>,
) -> Result<AccessToken, LoginError> {
    let http = token_client(Timeouts::default()).map_err(LoginError::Tls)?;
    let discovered = discover(&http, issuer).await?;
    let mut form = vec![("grant_type", "client_credentials")];
    form.extend(scope.map(|scope| ("scope", scope)));
    let client = ClientAuthentication { client_id, client_secret: Some(client_secret) };
    let tried = try_once(&http, &discovered.token_endpoint, &form, client, None).await;
    tried.map(|issued| issued.access_token).map_err(|(error, _)| error)
}

/// OpenID Connect Core, 3.1.3.7: it came straight from the issuer over TLS, so its claims are compared and its
/// signature need not be.
pub(super) fn check_id_token(
    id_token: &Secret,
    issuer: &str,
    client_id: &str,
    nonce: &Secret,
) -> Result<(), LoginError> {
    #[derive(Deserialize)]
    struct Claims {
        iss: String,
        aud: Audience,
        #[serde(default)]
        nonce: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    let payload = id_token.expose().split('.').nth(1).ok_or(LoginError::IdToken("not a JWT"))?;
    let payload = URL_SAFE_NO_PAD.decode(payload).map(Zeroizing::new);
    let payload = payload.map_err(|_| LoginError::IdToken("not a JWT"))?;
    let claims: Claims =
        serde_json::from_slice(&payload).map_err(|_| LoginError::IdToken("claims are missing"))?;
    let for_us = match &claims.aud {
        Audience::One(aud) => aud == client_id,
        Audience::Many(auds) => auds.iter().any(|aud| aud == client_id),
    };
    if claims.iss != issuer {
        return Err(LoginError::IdToken("another issuer"));
    }
    if !for_us {
        return Err(LoginError::IdToken("another audience"));
    }
    if claims.nonce.map(Secret::from).as_ref() != Some(nonce) {
        return Err(LoginError::IdToken("another nonce"));
    }
    Ok(())
}
