//! An authorization request, checked: what may be answered by redirect, and what must never be.
//!
//! Until client and redirect URI are known to belong together, every fault ends on a page of ours; from then on
//! every fault goes back to the client (RFC 6749, 4.1.2.1).

use std::sync::Arc;

use perennial_core::policy::Rules;
use perennial_core::{Now, Scopes, UnixMillis};

use crate::clients::{Client, Clients, GrantType};

use super::parameters::{Parameters, Repeated};
use super::redirect_uri;

const LONGEST_STATE: usize = 2048;
const LONGEST_NONCE: usize = 1024;
const LONGEST_LOGIN_HINT: usize = 128;

/// Parameters that must not come twice (RFC 6749, 3.1). Others are not ours, and ignored.
const KNOWN: [&str; 14] = [
    "response_type",
    "response_mode",
    "scope",
    "nonce",
    "prompt",
    "max_age",
    "login_hint",
    "id_token_hint",
    "code_challenge",
    "code_challenge_method",
    "request",
    "request_uri",
    "registration",
    "ui_locales",
];

/// A request that may go on to sign-in and consent.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationRequest {
    pub(crate) client: Arc<Client>,
    pub(crate) return_to: ReturnTo,
    pub(crate) scopes: Scopes,
    pub(crate) nonce: Option<String>,
    /// Base64url of SHA-256 of the verifier (RFC 7636, 4.2).
    pub(crate) code_challenge: String,
    pub(crate) prompt: Prompt,
    /// Seconds since the user last proved who they are.
    pub(crate) max_age_s: Option<u64>,
    /// The redirect URI as the client named it; nothing where it left out the only one it has.
    pub(crate) named_redirect_uri: Option<String>,
    pub(crate) login_hint: Option<String>,
    pub(crate) id_token_hint: Option<String>,
}

/// Where answers go, and what goes with each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReturnTo {
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
}

/// What the client asks the person to be shown (OpenID Connect Core, 3.1.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// `none`: nothing may be shown.
    pub(crate) silent: bool,
    /// `login`, or `select_account`, for which the sign-in page is the place.
    pub(crate) login: bool,
    /// `consent`.
    pub(crate) consent: bool,
}

/// Why a request goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotAnswered {
    /// Nobody is known to be waiting for the answer: a page says so.
    Page(UnsafeRequest),
    /// The client is told.
    Redirect(ErrorAnswer),
}

/// A request that must not lead to a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnsafeRequest {
    TooLarge,
    ClientMissing,
    ClientRepeated,
    ClientUnknown,
    ClientDisabled,
    RedirectUriMissing,
    RedirectUriRepeated,
    RedirectUriUnknown,
}

/// An error that goes back to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErrorAnswer {
    pub(crate) return_to: ReturnTo,
    pub(crate) error: AuthorizationError,
    pub(crate) description: &'static str,
}

/// The `error` of an answer (RFC 6749, 4.1.2.1; OpenID Connect Core, 3.1.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthorizationError {
    InvalidRequest,
    UnauthorizedClient,
    AccessDenied,
    UnsupportedResponseType,
    InvalidScope,
    ServerError,
    TemporarilyUnavailable,
    LoginRequired,
    ConsentRequired,
    RequestNotSupported,
    RequestUriNotSupported,
    RegistrationNotSupported,
}

impl AuthorizationError {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::AccessDenied => "access_denied",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::RegistrationNotSupported => "registration_not_supported",
        }
    }
}

/// A fault of the client's, before it is known where to send it.
type Fault = (AuthorizationError, &'static str);

impl ReturnTo {
    /// The address of an answer: the redirect URI as it stands, its own query kept (RFC 6749, 4.1.2), with
    /// `state` and `iss` (RFC 9207, 2).
    pub(crate) fn location(&self, issuer: &str, answer: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(answer);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", issuer);
        let separator = match self.redirect_uri.find('?') {
            None => "?",
            Some(_) if self.redirect_uri.ends_with(['?', '&']) => "",
            Some(_) => "&",
        };
        format!("{}{separator}{}", self.redirect_uri, query.finish())
    }

    pub(crate) fn refuse(self, error: AuthorizationError, description: &'static str) -> ErrorAnswer {
        ErrorAnswer { return_to: self, error, description }
    }
}

impl AuthorizationRequest {
    /// Checks a request, the same way at each step of a sign-in: nothing of it is kept on the server meanwhile.
    pub(crate) fn check(clients: &Clients, parameters: &Parameters) -> Result<Self, NotAnswered> {
        let (client, redirect_uri) = addressee(clients, parameters).map_err(NotAnswered::Page)?;
        let state = state(parameters);
        let return_to = ReturnTo { redirect_uri, state: state.clone().ok().flatten() };
        let refused =
            |(error, description): Fault| NotAnswered::Redirect(return_to.clone().refuse(error, description));
        state.map_err(refused)?;
        supported(&client, parameters).map_err(refused)?;
        let code_challenge = code_challenge(parameters).map_err(refused)?;
        let scopes = scopes(&client, parameters).map_err(refused)?;
        let prompt = prompt(parameters).map_err(refused)?;
        let max_age_s = max_age_s(parameters).map_err(refused)?;
        let nonce = nonce(parameters).map_err(refused)?;
        let login_hint = parameters.single("login_hint").ok().flatten();
        Ok(Self {
            client,
            return_to,
            named_redirect_uri: parameters.single("redirect_uri").ok().flatten().map(str::to_owned),
            scopes,
            nonce,
            code_challenge,
            prompt,
            max_age_s,
            login_hint: login_hint
                .filter(|hint| hint.chars().count() <= LONGEST_LOGIN_HINT)
                .map(str::to_owned),
            id_token_hint: parameters.single("id_token_hint").ok().flatten().map(str::to_owned),
        })
    }

    /// Whether an authentication at this moment is young enough: for the client (`max_age`), and for a session
    /// that must not outlive its absolute lifetime without another (INV-5).
    pub(crate) fn is_satisfied_by(&self, authenticated_at: UnixMillis, rules: &Rules, now: Now) -> bool {
        let age_ms = now.wall.0.saturating_sub(authenticated_at.0);
        let young_enough = self.max_age_s.is_none_or(|max_age_s| age_ms <= max_age_s.saturating_mul(1000));
        young_enough && age_ms < rules.absolute_ms
    }
}

/// The client, and the redirect URI that is known to be its own.
fn addressee(clients: &Clients, parameters: &Parameters) -> Result<(Arc<Client>, String), UnsafeRequest> {
    let id = parameters.single("client_id").map_err(|Repeated| UnsafeRequest::ClientRepeated)?;
    let id = id.ok_or(UnsafeRequest::ClientMissing)?;
    let client = clients.named(id).ok_or(UnsafeRequest::ClientUnknown)?;
    if client.disabled {
        return Err(UnsafeRequest::ClientDisabled);
    }
    let asked = parameters.single("redirect_uri").map_err(|Repeated| UnsafeRequest::RedirectUriRepeated)?;
    let redirect_uri = match (asked, client.redirect_uris.as_slice()) {
        (Some(asked), registered) => registered
            .iter()
            .any(|registered| redirect_uri::matches(registered, asked))
            .then(|| asked.to_owned())
            .ok_or(UnsafeRequest::RedirectUriUnknown)?,
        // RFC 6749, 3.1.2.3: it may be left out where there is only one.
        (None, [only]) if redirect_uri::matches(only, only) => only.clone(),
        (None, _) => return Err(UnsafeRequest::RedirectUriMissing),
    };
    Ok((client, redirect_uri))
}

/// RFC 6749, A.5: visible characters and spaces, which also keeps the answer's address well-formed.
fn state(parameters: &Parameters) -> Result<Option<String>, Fault> {
    let invalid = (
        AuthorizationError::InvalidRequest,
        "state must be sent once, in at most 2048 visible ASCII characters",
    );
    let state = parameters.single("state").map_err(|Repeated| invalid)?;
    let fits =
        |state: &&str| state.len() <= LONGEST_STATE && state.bytes().all(|b| (0x20..=0x7e).contains(&b));
    match state {
        None => Ok(None),
        Some(state) => Some(state).filter(fits).map(|state| Some(state.to_owned())).ok_or(invalid),
    }
}

/// What we do not do, and what nobody may do twice.
fn supported(client: &Client, parameters: &Parameters) -> Result<(), Fault> {
    use AuthorizationError as E;
    for name in KNOWN {
        if parameters.single(name).is_err() {
            return Err((E::InvalidRequest, "a parameter was sent more than once"));
        }
    }
    if !client.may_use(GrantType::AuthorizationCode) {
        return Err((E::UnauthorizedClient, "this client is not registered for authorization codes"));
    }
    if !parameters.text("request").is_empty() {
        return Err((E::RequestNotSupported, "request objects are not supported: send plain parameters"));
    }
    if !parameters.text("request_uri").is_empty() {
        return Err((E::RequestUriNotSupported, "request_uri is not supported: send plain parameters"));
    }
    if !parameters.text("registration").is_empty() {
        return Err((
            E::RegistrationNotSupported,
            "registration is not supported: register the client first",
        ));
    }
    match parameters.text("response_type") {
        "code" => {}
        "" => return Err((E::InvalidRequest, "response_type is missing: send response_type=code")),
        _ => return Err((E::UnsupportedResponseType, "only response_type=code is supported")),
    }
    match parameters.text("response_mode") {
        "" | "query" => Ok(()),
        _ => Err((E::InvalidRequest, "only response_mode=query is supported")),
    }
}

/// RFC 7636, 4.3, S256 only (RFC 9700, 2.1.1); left out, the method would be `plain`.
fn code_challenge(parameters: &Parameters) -> Result<String, Fault> {
    let invalid = |description| Err((AuthorizationError::InvalidRequest, description));
    let challenge = parameters.text("code_challenge");
    if challenge.is_empty() {
        return invalid("code_challenge is missing: PKCE with S256 is required (RFC 7636)");
    }
    if parameters.text("code_challenge_method") != "S256" {
        return invalid("code_challenge_method must be S256");
    }
    let is_base64url = challenge.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if challenge.len() != 43 || !is_base64url {
        return invalid("code_challenge must be the 43 base64url characters of a SHA-256 hash");
    }
    Ok(challenge.to_owned())
}

/// What is asked for. Without `scope`: all that the client is registered for, but for what only OpenID Connect
/// gives a meaning (RFC 6749, 3.3: a pre-defined default). `offline_access` says nothing to a client that gets
/// no refresh token, and is ignored (OpenID Connect Core, 11); the registration, or the person's consent where
/// the client must ask, is its ground everywhere else.
fn scopes(client: &Client, parameters: &Parameters) -> Result<Scopes, Fault> {
    let asked = match parameters.text("scope") {
        "" => less(&client.scopes, &["openid", "offline_access"]),
        text => Scopes::parse(text).map_err(|_| {
            (AuthorizationError::InvalidScope, "scope has a character that no scope may have")
        })?,
    };
    if !asked.is_within(&client.scopes) {
        return Err((
            AuthorizationError::InvalidScope,
            "the client is not registered for one of these scopes",
        ));
    }
    Ok(if client.may_use(GrantType::RefreshToken) { asked } else { less(&asked, &["offline_access"]) })
}

fn less(scopes: &Scopes, names: &[&str]) -> Scopes {
    let kept: Vec<&str> = scopes.iter().filter(|scope| !names.contains(scope)).collect();
    Scopes::parse(&kept.join(" ")).expect("some of a set of scopes are a set of scopes")
}

fn prompt(parameters: &Parameters) -> Result<Prompt, Fault> {
    let invalid = |description| Err((AuthorizationError::InvalidRequest, description));
    let mut prompt = Prompt::default();
    for word in parameters.text("prompt").split(' ').filter(|word| !word.is_empty()) {
        match word {
            "none" => prompt.silent = true,
            "login" | "select_account" => prompt.login = true,
            "consent" => prompt.consent = true,
            _ => return invalid("prompt must be none, or some of login, consent and select_account"),
        }
    }
    if prompt.silent && (prompt.login || prompt.consent) {
        return invalid("prompt=none cannot be combined with another prompt");
    }
    Ok(prompt)
}

fn max_age_s(parameters: &Parameters) -> Result<Option<u64>, Fault> {
    let invalid = (AuthorizationError::InvalidRequest, "max_age must be a whole number of seconds");
    match parameters.text("max_age") {
        "" => Ok(None),
        // `parse` alone would take a plus sign.
        text if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().map(Some).map_err(|_| invalid),
        _ => Err(invalid),
    }
}

fn nonce(parameters: &Parameters) -> Result<Option<String>, Fault> {
    let nonce = parameters.text("nonce");
    if nonce.len() > LONGEST_NONCE || nonce.chars().any(char::is_control) {
        let description = "nonce must have at most 1024 bytes, and no control characters";
        return Err((AuthorizationError::InvalidRequest, description));
    }
    Ok((!nonce.is_empty()).then(|| nonce.to_owned()))
}
