//! A device with a plain client, as most are: it refreshes when its token has expired, tries the same token
//! again when no answer came, and asks the person to sign in when the server says `invalid_grant`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use perennial_client::Credentials;
use reqwest::Client;
use serde::Deserialize;

use super::device::{BETWEEN_CALLS, Place, judge};
use super::sign_in::sign_in;
use super::tally::{Call, Side, Tally};

const CLIENT_ID: &str = "demo-strict";
/// How long before its end a token counts as expired.
const LEEWAY: Duration = Duration::from_secs(1);

struct Tokens {
    access: String,
    refresh: String,
    expires: Instant,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    refresh_token: String,
    expires_in: u64,
}

/// Why there is no new token.
enum NoToken {
    /// The network lost the request or the answer.
    Network,
    /// The server refused for good: the person must sign in.
    SignedOut(String),
}

/// Signs in, again whenever it must, and works until it is stopped.
pub(super) async fn muddle_through(place: Place, tally: Arc<Tally>) {
    let http = Client::new();
    let mut tokens = None;
    loop {
        let started = Instant::now();
        let held = match tokens.take() {
            Some(held) => held,
            None => match sign_in(&place.issuer, CLIENT_ID).await.and_then(|signed_in| taken(&signed_in)) {
                Ok(held) => held,
                Err(why) => {
                    tally.interrupted(Side::Plain, place.number, &format!("could not sign in: {why}"));
                    return;
                }
            },
        };
        match living(&http, &place, held).await {
            Ok(held) => {
                let call = call(&http, &place.network.notes, &held.access).await;
                tally.called(Side::Plain, place.number, &call, started.elapsed());
                tokens = Some(held);
            }
            Err(why) => {
                let told = format!("signed out ({why}): the person must sign in again");
                tally.interrupted(Side::Plain, place.number, &told);
            }
        }
        tokio::time::sleep(BETWEEN_CALLS).await;
    }
}

fn taken(signed_in: &Credentials) -> Result<Tokens, String> {
    let tokens = signed_in.tokens.as_ref().ok_or("no tokens came")?;
    let access = tokens.access_token.as_ref().ok_or("no access token came")?;
    let refresh = tokens.refresh_token.as_ref().ok_or("no refresh token came")?;
    Ok(Tokens {
        access: access.secret.expose().to_owned(),
        refresh: refresh.expose().to_owned(),
        expires: Instant::now() + Duration::from_millis(access.lifetime_ms),
    })
}

/// `held` while it lives, else what a refresh gives, however often it takes.
async fn living(http: &Client, place: &Place, mut held: Tokens) -> Result<Tokens, String> {
    while Instant::now() + LEEWAY >= held.expires {
        match refresh(http, &place.network.token_endpoint, &held.refresh).await {
            Ok(newer) => held = newer,
            Err(NoToken::Network) => tokio::time::sleep(BETWEEN_CALLS).await,
            Err(NoToken::SignedOut(why)) => return Err(why),
        }
    }
    Ok(held)
}

async fn refresh(http: &Client, token_endpoint: &str, refresh_token: &str) -> Result<Tokens, NoToken> {
    let form = [("grant_type", "refresh_token"), ("client_id", CLIENT_ID), ("refresh_token", refresh_token)];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let asked = http
        .post(token_endpoint)
        .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body)
        .send();
    let answer = asked.await.map_err(|_| NoToken::Network)?;
    let status = answer.status();
    let text = answer.text().await.map_err(|_| NoToken::Network)?;
    if status.is_client_error() {
        let told: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let reason = told.get("reason").and_then(serde_json::Value::as_str).unwrap_or("invalid_grant");
        return Err(NoToken::SignedOut(reason.to_owned()));
    }
    let answer: Answer = serde_json::from_str(&text).map_err(|_| NoToken::Network)?;
    Ok(Tokens {
        access: answer.access_token,
        refresh: answer.refresh_token,
        expires: Instant::now() + Duration::from_secs(answer.expires_in),
    })
}

async fn call(http: &Client, notes: &str, access_token: &str) -> Call {
    match http.get(notes).bearer_auth(access_token).send().await {
        Ok(answer) => judge(answer.status()),
        Err(_) => Call::LostByTheNetwork,
    }
}
