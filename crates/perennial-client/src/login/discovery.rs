//! What a server says about itself (RFC 8414, OpenID Connect Discovery), and whether it may be believed.

use reqwest::Client;
use serde::Deserialize;
use url::{Host, Url};

use super::LoginError;
use crate::driver::http;
use crate::engine::HttpAnswer;

/// The parts of a discovery document that a sign-in needs, checked.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// The issuer, as asked and as answered.
    pub issuer: String,
    /// Where people sign in.
    pub authorization_endpoint: Url,
    /// Where codes and tokens are redeemed.
    pub token_endpoint: Url,
    /// Whether answers to the redirect name their issuer (RFC 9207).
    pub names_itself: bool,
    /// Whether the server takes retry keys.
    pub retry_key_welcome: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    #[serde(default)]
    authorization_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint: Option<String>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    perennial_retry_key_supported: bool,
}

/// Fetches and checks an issuer's document.
pub(super) async fn discover(http: &Client, issuer: &str) -> Result<Discovered, LoginError> {
    let base = Url::parse(issuer).map_err(|_| LoginError::Issuer(issuer.to_owned()))?;
    require_secure(&base)?;
    if base.query().is_some() || base.fragment().is_some() || base.host().is_none() {
        return Err(LoginError::Issuer(issuer.to_owned()));
    }
    let mut last = None;
    for address in addresses(&base) {
        let transport = |failure| LoginError::Transport { at: address.to_string(), failure };
        let answer = http::get(http, address.as_str()).await.map_err(transport)?;
        match read(&answer, issuer) {
            Ok(document) => return check(document, issuer),
            Err(why) => last = Some(format!("{address} {why}")),
        }
    }
    let why = last.unwrap_or_else(|| "it has no discovery document".to_owned());
    Err(LoginError::Discovery { issuer: issuer.to_owned(), why })
}

/// OpenID Connect appends to the issuer's path; RFC 8414, 3.1 puts the well-known part before it.
fn addresses(base: &Url) -> [Url; 2] {
    let path = base.path().trim_end_matches('/');
    let with_path = |path: &str| {
        let mut url = base.clone();
        url.set_path(path);
        url
    };
    [
        with_path(&format!("{path}/.well-known/openid-configuration")),
        with_path(&format!("/.well-known/oauth-authorization-server{path}")),
    ]
}

fn read(answer: &HttpAnswer, issuer: &str) -> Result<Document, String> {
    if answer.status != 200 {
        return Err(format!("answered {}: is {issuer} the right address?", answer.status));
    }
    serde_json::from_slice(&answer.body).map_err(|_| "is not a discovery document".to_owned())
}

fn check(document: Document, issuer: &str) -> Result<Discovered, LoginError> {
    // RFC 8414, 3.3: identical, or an attacker's document could name the honest server's endpoints.
    if document.issuer != issuer {
        return Err(LoginError::IssuerMismatch { asked: issuer.to_owned(), answered: document.issuer });
    }
    let unusable = |why: &str| LoginError::Discovery { issuer: issuer.to_owned(), why: why.to_owned() };
    let address = |member: Option<String>| member.and_then(|address| Url::parse(&address).ok());
    let authorization_endpoint = address(document.authorization_endpoint)
        .ok_or_else(|| unusable("it names no authorization_endpoint"))?;
    let token_endpoint =
        address(document.token_endpoint).ok_or_else(|| unusable("it names no token_endpoint"))?;
    if !document.code_challenge_methods_supported.iter().any(|method| method == "S256") {
        return Err(unusable("it does not offer PKCE with S256, without which a code can be stolen"));
    }
    require_secure(&authorization_endpoint)?;
    require_secure(&token_endpoint)?;
    Ok(Discovered {
        issuer: document.issuer,
        authorization_endpoint,
        token_endpoint,
        names_itself: document.authorization_response_iss_parameter_supported,
        retry_key_welcome: document.perennial_retry_key_supported,
    })
}

/// https, or this machine.
fn require_secure(url: &Url) -> Result<(), LoginError> {
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if here => Ok(()),
        _ => Err(LoginError::Insecure(url.to_string())),
    }
}
