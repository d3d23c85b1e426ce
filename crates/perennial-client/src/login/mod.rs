//! Signing a person in from a command line or a desktop program: authorization code with PKCE over a loopback
//! address (RFC 8252), in the user's own browser.
//!
//! Everything that could be swapped on the way is compared: the issuer with the discovery document's (RFC 8414),
//! the answer's `state`, its `iss` before the code goes anywhere (RFC 9207), the ID token's nonce.

mod discovery;
mod loopback;
mod redeem;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use url::Url;

pub use discovery::Discovered;
pub use redeem::client_credentials;

use crate::credentials::Credentials;
use crate::driver::{Timeouts, clock, http};
use crate::engine::{Disbelief, Refusal, Remedy, StoreFailure, TransportFailure};
use crate::secret::Secret;
use crate::store::Store;
use loopback::Loopback;

/// Who signs in to what.
#[derive(Clone, Debug)]
pub struct LoginRequest {
    /// The issuer, exactly as its discovery document writes it.
    pub issuer: String,
    /// The client's id at that issuer; a public client.
    pub client_id: String,
    /// The scopes to ask for, space-separated.
    pub scope: String,
    /// The id of the session that this sign-in continues, if the client had one.
    pub continues: Option<String>,
    /// Time limits of the calls to the server.
    pub timeouts: Timeouts,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The issuer is not an address.
    #[error("`{0}` is not an issuer's address: give it like https://id.example.org")]
    Issuer(String),
    /// An address is neither https nor on this machine.
    #[error("{0} is not https: a sign-in would be readable on the way")]
    Insecure(String),
    /// The server was not reached, or its answer was lost.
    #[error("{at}: {failure}")]
    Transport {
        /// The address that was called.
        at: String,
        /// What went wrong.
        #[source]
        failure: TransportFailure,
    },
    /// What the server says about itself cannot be used.
    #[error("{issuer} cannot be used to sign in: {why}")]
    Discovery {
        /// The issuer asked for.
        issuer: String,
        /// What is wrong or missing.
        why: String,
    },
    /// The document names another issuer (RFC 8414, 3.3).
    #[error(
        "the server calls itself {answered}, not {asked}: if that is right, run `perennial login {answered}`"
    )]
    IssuerMismatch {
        /// The issuer asked for.
        asked: String,
        /// The issuer in the document.
        answered: String,
    },
    /// No address on this machine to wait at.
    #[error("cannot listen on 127.0.0.1 for the browser's answer: {0}")]
    Listen(#[source] std::io::Error),
    /// Nobody finished the sign-in.
    #[error("no sign-in within {} s: run the command again and open the address it prints", .0.as_secs())]
    TimedOut(Duration),
    /// The server answered the authorization request with an error.
    #[error("the sign-in was not granted ({error}){}", .description.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    NotGranted {
        /// The RFC 6749 error.
        error: String,
        /// The server's words.
        description: Option<String>,
    },
    /// The answer came from another issuer than was asked (RFC 9207).
    #[error("the answer came from {0}, which was not asked: the code was thrown away; run the command again")]
    MixUp(String),
    /// The token endpoint refused.
    #[error("the server refused the sign-in ({}{})", .0.story.error, .0.story.description.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    Refused(Box<Refusal>),
    /// The token endpoint's answer was not an OAuth answer.
    #[error(transparent)]
    Unbelievable(#[from] Disbelief),
    /// The ID token does not belong to this sign-in.
    #[error("the ID token does not belong to this sign-in ({0}): nothing was stored; run the command again")]
    IdToken(&'static str),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[source] reqwest::Error),
}

impl LoginError {
    /// Whether the same sign-in may work later without anything being changed.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::TimedOut(_) | Self::Unbelievable(_) => true,
            Self::Refused(refusal) => refusal.remedy == Remedy::Retry,
            Self::Issuer(_)
            | Self::Insecure(_)
            | Self::Discovery { .. }
            | Self::IssuerMismatch { .. }
            | Self::Listen(_)
            | Self::NotGranted { .. }
            | Self::MixUp(_)
            | Self::IdToken(_)
            | Self::Tls(_) => false,
        }
    }
}

/// A sign-in that has begun: the address to open is known, and somebody listens for the answer.
#[derive(Debug)]
pub struct Login {
    http: reqwest::Client,
    request: LoginRequest,
    discovered: Discovered,
    loopback: Loopback,
    authorization_url: Url,
    state: Secret,
    nonce: Secret,
    verifier: Secret,
}

impl Login {
    /// Asks the issuer where to sign in, and starts to listen for the answer.
    ///
    /// # Errors
    /// The server cannot be reached or cannot be trusted with a sign-in.
    pub async fn start(request: LoginRequest) -> Result<Self, LoginError> {
        let http = http::token_client(request.timeouts).map_err(LoginError::Tls)?;
        let discovered = discovery::discover(&http, &request.issuer).await?;
        let loopback = Loopback::bind().await.map_err(LoginError::Listen)?;
        let (state, nonce, verifier) = (random(), random(), random());
        let mut login = Self {
            authorization_url: discovered.authorization_endpoint.clone(),
            http,
            request,
            discovered,
            loopback,
            state,
            nonce,
            verifier,
        };
        login.write_authorization_request();
        Ok(login)
    }

    fn write_authorization_request(&mut self) {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.expose().as_bytes()));
        let mut url = self.authorization_url.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.request.client_id)
            .append_pair("redirect_uri", self.loopback.redirect_uri())
            .append_pair("scope", &self.request.scope)
            .append_pair("state", self.state.expose())
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        if self.asks_for_an_id_token() {
            url.query_pairs_mut().append_pair("nonce", self.nonce.expose());
        }
        if let Some(session) = &self.request.continues {
            url.query_pairs_mut().append_pair("continues", session);
        }
        self.authorization_url = url;
    }

    fn asks_for_an_id_token(&self) -> bool {
        self.request.scope.split(' ').any(|scope| scope == "openid")
    }

    /// The address to open in a browser on this machine.
    pub fn authorization_url(&self) -> &Url {
        &self.authorization_url
    }

    /// Waits for the browser's answer, at most `timeout`, and redeems its code.
    ///
    /// # Errors
    /// Nobody came, the server refused, or what came back does not belong to this sign-in.
    pub async fn finish(self, timeout: Duration) -> Result<Credentials, LoginError> {
        let Self { http, request, discovered, loopback, state, nonce, verifier, authorization_url: _ } = self;
        let redirect_uri = loopback.redirect_uri().to_owned();
        let waited = tokio::time::timeout(timeout, loopback.answer(&state)).await;
        let (answer, page) =
            waited.map_err(|_| LoginError::TimedOut(timeout))?.map_err(LoginError::Listen)?;
        let redeemed = async {
            let code = answer.code(&discovered)?;
            let redemption =
                redeem::Redemption { code: &code, redirect_uri: &redirect_uri, verifier: &verifier };
            redeem::redeem(&http, &discovered, &request.client_id, redemption).await
        };
        let (issued, ()) = tokio::join!(redeemed, page.delivered());
        let issued = issued?;
        if let Some(id_token) = &issued.id_token {
            redeem::check_id_token(id_token, &discovered.issuer, &request.client_id, &nonce)?;
        }
        let mut credentials = Credentials::signed_out(
            &discovered.issuer,
            &request.client_id,
            discovered.token_endpoint.as_str(),
        );
        credentials.retry_key_welcome = discovered.retry_key_welcome;
        Ok(credentials.with_new_tokens(issued))
    }
}

/// Makes a sign-in the stored one. What was stored before is set aside with its story.
///
/// # Errors
/// The store cannot be locked, read or written; the sign-in is not stored.
pub async fn store_sign_in(store: Arc<dyn Store>, sign_in: Credentials) -> Result<Credentials, StoreFailure> {
    let stored = tokio::task::spawn_blocking(move || {
        let lock = store.lock()?;
        let previous = match store.read(Some(&lock)) {
            // It was moved aside, so there is nothing to keep here.
            Err(StoreFailure::Corrupt { moved_to, .. }) => {
                tracing::warn!(moved_to, "damaged credentials were moved aside");
                None
            }
            read => read?,
        };
        let sign_in = match previous {
            Some(previous) => sign_in.in_place_of(&previous, clock::now().wall),
            None => sign_in,
        };
        store.write(&lock, &sign_in).map(|()| sign_in)
    });
    stored.await.unwrap_or_else(|error| {
        Err(StoreFailure::Io { path: "the store".to_owned(), verb: "written", cause: error.to_string() })
    })
}

/// Opens an address in the user's browser. `false` where there is none to be seen.
pub async fn open_in_browser(url: &Url) -> bool {
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    if cfg!(target_os = "linux") && !has_display && std::env::var_os("BROWSER").is_none() {
        return false;
    }
    let url = url.to_string();
    tokio::task::spawn_blocking(move || webbrowser::open(&url).is_ok()).await.unwrap_or(false)
}

/// 256 random bits, base64url.
fn random() -> Secret {
    Secret::from(URL_SAFE_NO_PAD.encode(clock::entropy().0))
}
