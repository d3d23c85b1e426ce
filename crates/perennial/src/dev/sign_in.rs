//! Signs a device in as a person would: the authorization request is opened, the served form submitted.

use std::time::Duration;

use perennial_client::login::{Login, LoginRequest};
use perennial_client::{Credentials, Timeouts};
use perennial_testkit::http::CookieClient;

use super::demo::{LOGIN, PASSWORD, SCOPES};

const LONGEST: Duration = Duration::from_secs(30);

/// Signs in at `issuer` as `client`; the sign-in itself goes over a sound network, as the person is there.
///
/// # Errors
/// What went wrong, in words.
pub(super) async fn sign_in(issuer: &str, client: &str) -> Result<Credentials, String> {
    let login = Login::start(LoginRequest {
        issuer: issuer.to_owned(),
        client_id: client.to_owned(),
        scope: SCOPES.to_owned(),
        continues: None,
        timeouts: Timeouts::default(),
    });
    let login = login.await.map_err(|error| error.to_string())?;
    let request = login.authorization_url().clone();
    let redirect_uri = request
        .query_pairs()
        .find_map(|(name, value)| (name == "redirect_uri").then(|| value.into_owned()))
        .ok_or("the authorization request names no redirect_uri")?;
    let person = async {
        let mut browser = CookieClient::new();
        let back = browser.sign_in(request.as_str(), LOGIN, PASSWORD, &redirect_uri).await;
        let back = back.map_err(|error| error.to_string())?;
        reqwest::get(back).await.map_err(|error| error.to_string()).map(|_| ())
    };
    let finished = async { login.finish(LONGEST).await.map_err(|error| error.to_string()) };
    let (credentials, ()) = tokio::try_join!(finished, person)?;
    Ok(credentials)
}
