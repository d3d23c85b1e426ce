//! Which client is asking, and whether it is that client: none, `client_secret_basic` and
//! `client_secret_post` (RFC 6749, 2.3). Nothing is consumed by a failure.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use percent_encoding::percent_decode;
use perennial_core::session::Holder;
use zeroize::Zeroizing;

use crate::clients::{Client, Clients};
use crate::oauth::form::{Form, Parameter};
use crate::refusal::{ErrorCode, Refusal};

/// A client that is who it says, as far as its registration lets anybody know.
#[derive(Debug)]
pub(crate) struct Authenticated {
    pub(crate) client: Arc<Client>,
}

impl Authenticated {
    /// By what the presenter of a token is known: a confidential client by its secret, a public one by nothing.
    pub(crate) fn holder(&self) -> Holder {
        if self.client.is_confidential() { Holder::Client } else { Holder::Bearer }
    }
}

/// How the client showed itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    None,
    Basic,
    Post,
}

/// Authenticates the client of a form.
pub(crate) fn authenticate(
    clients: &Clients,
    headers: &HeaderMap,
    form: &Form<'_>,
) -> Result<Authenticated, Refusal> {
    let posted = form.value(Parameter::ClientSecret);
    let Some(credentials) = basic(headers)? else {
        let id = form.value(Parameter::ClientId).ok_or_else(|| {
            failed(Method::None, "no_client", "The request does not say which client it comes from.")
        })?;
        let method = if posted.is_some() { Method::Post } else { Method::None };
        return check(clients, id, posted, method);
    };
    if posted.is_some() {
        return Err(Refusal::request(
            "two_authentications",
            "The client authenticates twice, by header and by parameter: use one (RFC 6749, 2.3).",
        ));
    }
    if form.value(Parameter::ClientId).is_some_and(|id| id != credentials.id) {
        return Err(Refusal::request(
            "two_clients",
            "The parameter `client_id` and the Authorization header name different clients.",
        ));
    }
    check(clients, &credentials.id, Some(&credentials.secret), Method::Basic)
}

fn check(
    clients: &Clients,
    id: &str,
    secret: Option<&str>,
    method: Method,
) -> Result<Authenticated, Refusal> {
    const NOT_KNOWN: &str = "The client is not known here, or its authentication failed.";
    let Some(client) = clients.named(id) else {
        // The same hash that a known client costs, so that time does not tell which ids exist.
        let _ = crate::clients::secret_hash(secret.unwrap_or(""));
        return Err(failed(method, "client_authentication", NOT_KNOWN));
    };
    let is_genuine = match secret {
        Some(secret) => client.has_secret(secret),
        None => !client.is_confidential(),
    };
    if !is_genuine {
        tracing::info!(client = %client.id, "client authentication failed");
        return Err(failed(method, "client_authentication", NOT_KNOWN));
    }
    if client.disabled {
        return Err(failed(method, "client_disabled", "The client is disabled here."));
    }
    Ok(Authenticated { client })
}

fn failed(method: Method, reason: &'static str, description: &str) -> Refusal {
    let refusal = Refusal::new(ErrorCode::InvalidClient, reason, description);
    match method {
        // RFC 6749, 5.2: the scheme that the client used.
        Method::Basic => {
            refusal.with_challenge(HeaderValue::from_static("Basic realm=\"perennial\", charset=\"UTF-8\""))
        }
        Method::None | Method::Post => refusal,
    }
}

struct Credentials {
    id: String,
    secret: Zeroizing<String>,
}

/// The credentials of an `Authorization: Basic` header, where there is one.
fn basic(headers: &HeaderMap) -> Result<Option<Credentials>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::request("two_authentications", "There is more than one Authorization header."));
    }
    let malformed = || {
        failed(Method::Basic, "client_authentication", "The Authorization header is not well-formed Basic.")
    };
    let (scheme, encoded) =
        value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).map_err(|_| malformed())?);
    let colon = decoded.iter().position(|byte| *byte == b':').ok_or_else(malformed)?;
    let id = form_decoded(&decoded[..colon]).ok_or_else(malformed)?;
    let secret = form_decoded(&decoded[colon + 1..]).ok_or_else(malformed)?;
    Ok(Some(Credentials { id, secret: Zeroizing::new(secret) }))
}

/// RFC 6749, 2.3.1: both halves are form-encoded before they are joined.
fn form_decoded(bytes: &[u8]) -> Option<String> {
    let spaced: Cow<'_, [u8]> = if bytes.contains(&b'+') {
        bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect()
    } else {
        bytes.into()
    };
    percent_decode(&spaced).decode_utf8().ok().map(Cow::into_owned)
}
