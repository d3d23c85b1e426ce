//! Calls to APIs with a token that lives: the bearer header, and after a 401 one other token and one replay.

use reqwest::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, Request, RequestBuilder, Response, StatusCode};

use super::{Session, Token};
use crate::engine::TokenError;

/// An authenticated call could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is no token for it.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The request cannot be made, or no answer came.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    /// The token has characters that no header can carry.
    #[error("the server issued a token that does not fit into a header")]
    UnfitToken,
}

impl Session {
    /// A plain HTTP client to build requests for [`send`](Self::send) with.
    pub fn client(&self) -> &Client {
        &self.shared.api
    }

    /// Sends a request with a live token. If the API answers 401 and names the token as the cause, the token is
    /// refreshed once and the request sent once more, where its body can be sent again.
    ///
    /// ```no_run
    /// # async fn example(session: perennial_client::Session) -> Result<(), perennial_client::SendError> {
    /// let answer = session.send(session.client().get("https://api.example.org/things")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// There is no token, or no answer. Any answer of the API, also a second 401, is `Ok`.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, SendError> {
        let (client, request) = request.build_split();
        let mut request = request?;
        let again = request.try_clone();
        let token = self.token().await?;
        bear(&mut request, &token)?;
        let response = client.execute(request).await?;
        let (Some(mut again), true) = (again, token_is_at_fault(&response)) else { return Ok(response) };
        // Without another token the API's own answer says more than an error would.
        let Ok(other) = self.token_instead_of(&token).await else { return Ok(response) };
        bear(&mut again, &other)?;
        Ok(client.execute(again).await?)
    }
}

fn bear(request: &mut Request, token: &Token) -> Result<(), SendError> {
    let bearer = format!("Bearer {}", token.expose());
    let mut value = HeaderValue::from_str(&bearer).map_err(|_| SendError::UnfitToken)?;
    value.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, value);
    Ok(())
}

/// RFC 6750, 3.1: `invalid_token`; or a bare Bearer challenge, as many APIs send for an expired token. Any other
/// error (`insufficient_scope`, `insufficient_user_authentication`) is not mended by a newer token.
fn token_is_at_fault(response: &Response) -> bool {
    if response.status() != StatusCode::UNAUTHORIZED {
        return false;
    }
    let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
    challenges.filter_map(|value| value.to_str().ok()).any(|challenge| {
        let challenge = challenge.to_ascii_lowercase();
        challenge.contains("bearer")
            && challenge
                .split_once("error=")
                .is_none_or(|(_, error)| error.trim_start_matches('"').starts_with("invalid_token"))
    })
}
