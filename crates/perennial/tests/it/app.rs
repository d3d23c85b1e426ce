//! An application that speaks HTTP by hand: it sends what a test wants to be sent, and nothing by itself.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2::PkceCodeChallenge;
use perennial_testkit::http::CookieClient;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use crate::world::{LOGIN, PASSWORD, World};

const CLIENT_ID: &str = "app";
const CALLBACK: &str = "http://127.0.0.1:1/callback";
/// How long a request may go without an answer. Only a server that was killed in between takes that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The client `app` of a [`World`].
#[derive(Clone)]
pub(crate) struct App {
    http: reqwest::Client,
    token_endpoint: String,
}

/// What the token endpoint said: its status and its JSON.
#[derive(Debug)]
pub(crate) struct Answer(u16, Value);

impl Answer {
    /// The refresh token of an answer that has one.
    #[track_caller]
    pub(crate) fn refresh_token(&self) -> String {
        let Self(status, body) = self;
        let token = body.get("refresh_token").and_then(Value::as_str);
        token.unwrap_or_else(|| panic!("no refresh token but {status} {body}")).to_owned()
    }
}

impl App {
    /// An application whose requests go through the network of this world.
    pub(crate) fn of(world: &World) -> Self {
        Self::at(world.token_endpoint())
    }

    /// An application of its own, with connections of its own.
    pub(crate) fn at(token_endpoint: String) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).user_agent("app/1 (test)");
        Self { http: http.build().unwrap(), token_endpoint }
    }

    /// Signs the person in, who has this browser, and returns the first refresh token.
    pub(crate) async fn sign_in(&self, browser: &mut CookieClient) -> String {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let query = Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", CLIENT_ID)
            .append_pair("redirect_uri", CALLBACK)
            .append_pair("scope", "openid profile offline_access")
            .append_pair("state", "s")
            .append_pair("code_challenge", challenge.as_str())
            .append_pair("code_challenge_method", "S256")
            .finish();
        let request = self.token_endpoint.replace("/token", &format!("/authorize?{query}"));
        let back = browser.sign_in(&request, LOGIN, PASSWORD, CALLBACK).await.unwrap();
        let code = back.query_pairs().find_map(|(name, value)| (name == "code").then_some(value)).unwrap();
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", CLIENT_ID),
            ("code", &*code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", verifier.secret()),
        ];
        self.post(&form, None).await.unwrap().refresh_token()
    }

    /// A refresh (RFC 6749, 6), with a retry key or as plain clients do it; `Err` when no whole answer came.
    pub(crate) async fn refresh(
        &self,
        token: &str,
        retry_key: Option<&str>,
    ) -> Result<Answer, reqwest::Error> {
        let form = [("grant_type", "refresh_token"), ("client_id", CLIENT_ID), ("refresh_token", token)];
        self.post(&form, retry_key).await
    }

    async fn post(&self, form: &[(&str, &str)], retry_key: Option<&str>) -> Result<Answer, reqwest::Error> {
        let body = Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = self.http.post(&self.token_endpoint).body(body);
        request = request.header("content-type", "application/x-www-form-urlencoded");
        if let Some(key) = retry_key {
            request = request.header("idempotency-key", format!("\"{key}\""));
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{status} {text}: {error}"));
        Ok(Answer(status, body))
    }
}

/// The retry key of an attempt belongs to its token: the same for every try. A test needs no secret one.
pub(crate) fn key_for(token: &str) -> String {
    format!("k{}", &token[token.len() - 40..])
}

/// Which generation a refresh token is of; it stands in it, see `perennial_core::session::token`.
pub(crate) fn generation(token: &str) -> u32 {
    let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix("prn_rt_").unwrap()).unwrap();
    u32::from_be_bytes(bytes[18..22].try_into().unwrap())
}
