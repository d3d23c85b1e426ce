//! A client as somebody wrote it down, in the file or on the command line, and what makes it a registration.

use perennial_core::policy::{ClientKind, Level, Response};
use perennial_core::{ClientId, Scopes};
use serde::{Deserialize, Serialize};
use url::Url;

use super::setting::{is_loopback, one_of};
use crate::clients::{Client, Consent, GrantType, secret_hash};

/// The words of a client, unchecked; what is missing has a default.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientForm {
    /// Its `client_id`; the one thing that has no default.
    pub id: String,
    /// What people call it; its id where it has no name.
    pub name: Option<String>,
    /// web, native, service or agent; web where it is missing.
    pub kind: Option<String>,
    /// Its secret.
    pub secret: Option<String>,
    /// SHA-256 of its secret, base64url.
    pub secret_sha256: Option<String>,
    /// Where answers may go.
    pub redirect_uris: Vec<String>,
    /// Where a sign-out may lead.
    pub post_logout_redirect_uris: Vec<String>,
    /// The web origins that may call.
    pub origins: Vec<String>,
    /// Its grant types; those of its kind where there is none.
    pub grant_types: Vec<String>,
    /// Its scopes; `openid profile offline_access` where people sign in to it.
    pub scopes: Vec<String>,
    /// ask or not_needed.
    pub consent: Option<String>,
    /// The audience of its access tokens.
    pub audience: Option<String>,
    /// strict, balanced or tolerant.
    pub level: Option<String>,
    /// contest, revoke or observe.
    pub response: Option<String>,
    /// Whether it gets nothing.
    pub disabled: bool,
}

/// Which word of a client is wrong, and how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct FormError {
    /// The key, as it stands in the file.
    pub key: &'static str,
    /// What is wrong and what is allowed.
    pub message: String,
}

const KINDS: &[(&str, ClientKind)] = &[
    ("web", ClientKind::Web),
    ("native", ClientKind::Native),
    ("service", ClientKind::Service),
    ("agent", ClientKind::Agent),
];
const GRANT_TYPES: &[(&str, GrantType)] = &[
    ("authorization_code", GrantType::AuthorizationCode),
    ("refresh_token", GrantType::RefreshToken),
    ("client_credentials", GrantType::ClientCredentials),
];
const CONSENTS: &[(&str, Consent)] = &[("not_needed", Consent::NotNeeded), ("ask", Consent::Ask)];
const LEVELS: &[(&str, Level)] =
    &[("strict", Level::Strict), ("balanced", Level::Balanced), ("tolerant", Level::Tolerant)];
const RESPONSES: &[(&str, Response)] =
    &[("contest", Response::Contest), ("revoke", Response::Revoke), ("observe", Response::Observe)];

impl ClientForm {
    /// The registration that these words make.
    ///
    /// # Errors
    /// The first word that is wrong.
    pub fn check(self) -> Result<Client, FormError> {
        let id = in_key("id", client_id(&self.id))?;
        let kind = in_key("kind", one_of(self.kind.as_deref().unwrap_or("web"), KINDS))?;
        let grant_types = self.grant_types(kind)?;
        let secret_sha256 = self.secret_hash()?;
        let confidential = secret_sha256.is_some();
        let by_code = grant_types.contains(&GrantType::AuthorizationCode);
        if grant_types.contains(&GrantType::ClientCredentials) && !confidential {
            return wrong("secret", "a client with client_credentials must have one (RFC 6749, 4.4)");
        }
        if by_code && self.redirect_uris.is_empty() {
            return wrong("redirect_uris", "a client with authorization_code needs at least one");
        }
        for uri in &self.redirect_uris {
            in_key("redirect_uris", redirect_uri(uri))?;
        }
        for uri in &self.post_logout_redirect_uris {
            in_key("post_logout_redirect_uris", redirect_uri(uri))?;
        }
        for one in &self.origins {
            in_key("origins", origin(one))?;
        }
        let scopes = if self.scopes.is_empty() && by_code {
            "openid profile offline_access".to_owned()
        } else {
            self.scopes.join(" ")
        };
        Ok(Client {
            name: self.name.unwrap_or_else(|| self.id.clone()),
            id,
            kind,
            secret_sha256,
            redirect_uris: self.redirect_uris,
            post_logout_redirect_uris: self.post_logout_redirect_uris,
            origins: self.origins,
            grant_types,
            scopes: in_key("scopes", Scopes::parse(&scopes).map_err(|malformed| malformed.to_string()))?,
            consent: in_key("consent", one_of(self.consent.as_deref().unwrap_or("not_needed"), CONSENTS))?,
            audience: self.audience,
            level: in_key("level", self.level.as_deref().map(|word| one_of(word, LEVELS)).transpose())?,
            response: in_key(
                "response",
                self.response.as_deref().map(|word| one_of(word, RESPONSES)).transpose(),
            )?,
            disabled: self.disabled,
        })
    }

    fn grant_types(&self, kind: ClientKind) -> Result<Vec<GrantType>, FormError> {
        if !self.grant_types.is_empty() {
            let named = self.grant_types.iter().map(|word| one_of(word, GRANT_TYPES)).collect();
            return in_key("grant_types", named);
        }
        Ok(match kind {
            ClientKind::Web | ClientKind::Native | ClientKind::Agent => {
                vec![GrantType::AuthorizationCode, GrantType::RefreshToken]
            }
            ClientKind::Service => vec![GrantType::ClientCredentials],
        })
    }

    fn secret_hash(&self) -> Result<Option<String>, FormError> {
        use base64::Engine as _;
        match (&self.secret, &self.secret_sha256) {
            (Some(_), Some(_)) => wrong("secret_sha256", "name either `secret` or `secret_sha256`, not both"),
            // Kept as a plain hash, which is as good as the secret is long.
            (Some(secret), None) if secret.chars().count() < 16 => {
                wrong("secret", "must have at least 16 characters: take random ones")
            }
            (Some(secret), None) => Ok(Some(secret_hash(secret))),
            (None, Some(hash)) => {
                let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(hash);
                if !bytes.is_ok_and(|bytes| bytes.len() == 32) {
                    return wrong("secret_sha256", "is no SHA-256 in base64url: 43 characters are wanted");
                }
                Ok(Some(hash.clone()))
            }
            (None, None) => Ok(None),
        }
    }
}

fn in_key<T>(key: &'static str, checked: Result<T, String>) -> Result<T, FormError> {
    checked.map_err(|message| FormError { key, message })
}

fn wrong<T>(key: &'static str, message: &str) -> Result<T, FormError> {
    Err(FormError { key, message: message.to_owned() })
}

/// RFC 6749, A.1, without spaces, which no list and no log line could tell apart.
fn client_id(id: &str) -> Result<ClientId, String> {
    if id.is_empty() {
        return Err("every client needs an id".to_owned());
    }
    if id.len() > 255 || !id.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("`{id}` is no client id: 1 to 255 visible ASCII characters without spaces"));
    }
    Ok(id.into())
}

/// Absolute, without a fragment (RFC 6749, 3.1.2); https, or http on loopback, or a private-use scheme
/// (RFC 8252, 7).
fn redirect_uri(text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|why| {
        format!("`{text}` is no absolute URI ({why}): write one like https://app.example.com/callback")
    })?;
    if text.contains('#') {
        return Err(format!("`{text}` must have no fragment (RFC 6749, 3.1.2)"));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("`{text}` has characters that a URI must write as %XX"));
    }
    match url.scheme() {
        "https" if url.host_str().is_some() => Ok(()),
        "http" if url.host_str().is_some_and(is_loopback) => Ok(()),
        "https" | "http" => Err(format!("`{text}` must be https: http is for localhost only")),
        // A private-use scheme is a reversed domain name (RFC 8252, 7.1), which keeps out javascript: and its kind.
        scheme if scheme.contains('.') => Ok(()),
        scheme => Err(format!(
            "`{text}` has the scheme `{scheme}`: https, http on localhost, or a private one with a dot \
             like com.example.app are allowed (RFC 8252, 7)"
        )),
    }
}

/// Scheme, host and port as browsers send them; on loopback `*` may stand for the port.
fn origin(text: &str) -> Result<(), String> {
    let any_port = text.strip_suffix(":*");
    let plain = any_port.unwrap_or(text);
    let url = Url::parse(plain)
        .map_err(|why| format!("`{text}` is no origin ({why}): write one like https://app.example.com"))?;
    let loopback = url.host_str().is_some_and(is_loopback);
    if any_port.is_some() && !loopback {
        return Err(format!("`{text}`: `*` may stand for the port on localhost only"));
    }
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        return Err(format!("`{text}` must be https: http is for localhost only"));
    }
    let exact = url.origin().ascii_serialization();
    if exact != plain {
        return Err(format!("`{text}` is not as browsers send it: write `{exact}`"));
    }
    Ok(())
}
