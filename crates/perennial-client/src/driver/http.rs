//! The token endpoint over reqwest: one POST, no redirect, a bounded answer.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use zeroize::Zeroizing;

use crate::credentials::RetryKey;
use crate::engine::{HttpAnswer, RefreshRequest, TransportFailure};
use crate::secret::Secret;

/// A token answer larger than this is not read on.
const ANSWER_MAX_BYTES: usize = 256 * 1024;

/// Time limits of the calls to the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands, name and TLS included.
    pub connect: Duration,
    /// Until the whole answer is there.
    pub request: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), request: Duration::from_secs(20) }
    }
}

/// A client for token endpoints: it follows no redirect, because a refresh token must go nowhere else.
pub(crate) fn token_client(timeouts: Timeouts) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(Policy::none())
        .connect_timeout(timeouts.connect)
        .timeout(timeouts.request)
        .user_agent(concat!("perennial-client/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Sends a refresh (RFC 6749, 6).
pub(crate) async fn refresh(
    http: &reqwest::Client,
    request: &RefreshRequest,
    client_secret: Option<&Secret>,
) -> Result<HttpAnswer, TransportFailure> {
    let form = [("grant_type", "refresh_token"), ("refresh_token", request.refresh_token.expose())];
    let client = ClientAuthentication { client_id: &request.client_id, client_secret };
    let retry_key = request.retry_key.as_ref().map(RetryKey::expose);
    post(http, &request.token_endpoint, &form, client, retry_key).await
}

/// How the client names itself: by its id in the form, or with a secret by HTTP Basic (RFC 6749, 2.3.1).
#[derive(Clone, Copy)]
pub(crate) struct ClientAuthentication<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) client_secret: Option<&'a Secret>,
}

/// Sends a form to a token endpoint and reads the whole answer.
pub(crate) async fn post(
    http: &reqwest::Client,
    token_endpoint: &str,
    form: &[(&str, &str)],
    client: ClientAuthentication<'_>,
    retry_key: Option<&str>,
) -> Result<HttpAnswer, TransportFailure> {
    let mut request = http.post(token_endpoint).body(form_body(form, &client));
    if let Some(secret) = client.client_secret {
        // RFC 6749, 2.3.1: both are form-encoded before they are put together.
        request = request.basic_auth(encoded(client.client_id), Some(encoded(secret.expose())));
    }
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    if let Some(key) = retry_key.and_then(sensitive_quoted) {
        headers.insert(HeaderName::from_static("idempotency-key"), key);
    }
    let response = request.headers(headers).send().await.map_err(transport_failure)?;
    read_whole(response).await
}

/// Fetches a document.
#[cfg(feature = "login")]
pub(crate) async fn get(http: &reqwest::Client, address: &str) -> Result<HttpAnswer, TransportFailure> {
    let request = http.get(address).header(ACCEPT, "application/json");
    read_whole(request.send().await.map_err(transport_failure)?).await
}

fn form_body(form: &[(&str, &str)], client: &ClientAuthentication<'_>) -> String {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form);
    if client.client_secret.is_none() {
        body.append_pair("client_id", client.client_id);
    }
    body.finish()
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A structured-field string (RFC 9651, 3.3.3), kept out of logs.
fn sensitive_quoted(key: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("\"{key}\"")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

async fn read_whole(mut response: reqwest::Response) -> Result<HttpAnswer, TransportFailure> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut answer = HttpAnswer {
        status: response.status().as_u16(),
        content_type: header(CONTENT_TYPE),
        retry_after: header(RETRY_AFTER),
        date: header(DATE),
        body: Zeroizing::new(Vec::new()),
    };
    while let Some(chunk) = response.chunk().await.map_err(transport_failure)? {
        if answer.body.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err(TransportFailure::Interrupted(
                "the answer is too large for a token answer".to_owned(),
            ));
        }
        answer.body.extend_from_slice(&chunk);
    }
    Ok(answer)
}

/// What cannot have reached the server is told apart from what may have been carried out.
pub(crate) fn transport_failure(error: reqwest::Error) -> TransportFailure {
    let never_left = error.is_connect() || error.is_builder();
    let timed_out = error.is_timeout();
    let error = error.without_url();
    let mut innermost: &dyn Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let cause = if timed_out { "timed out".to_owned() } else { innermost.to_string() };
    if never_left { TransportFailure::Unreachable(cause) } else { TransportFailure::Interrupted(cause) }
}
