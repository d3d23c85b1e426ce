//! An unmodified `oauth2` crate as the client: it knows nothing of Perennial but two addresses.

use std::collections::HashSet;

use oauth2::basic::BasicClient;
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, CsrfToken, HttpRequest, HttpResponse, PkceCodeChallenge,
    RedirectUrl, Scope, TokenResponse as _, TokenUrl,
};
use perennial_testkit::http::CookieClient;
use perennial_testkit::process::Program;

use crate::world::{DEADLINE, LOGIN, PASSWORD};

const CALLBACK: &str = "http://127.0.0.1:1/callback";
const REFRESHES: usize = 50;

#[tokio::test]
async fn oauth2_crate_signs_in_and_refreshes_fifty_times() {
    let args = ["dev", "--listen", "127.0.0.1:0", "--no-demo-traffic"];
    let mut server = Program::perennial().unwrap().args(args).start_ready().await.unwrap();
    let issuer = server.url().as_str().trim_end_matches('/').to_owned();
    let client = BasicClient::new(ClientId::new("demo-web".to_owned()))
        .set_auth_uri(AuthUrl::new(format!("{issuer}/authorize")).unwrap())
        .set_token_uri(TokenUrl::new(format!("{issuer}/token")).unwrap())
        .set_redirect_uri(RedirectUrl::new(CALLBACK.to_owned()).unwrap());
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let send = |request: HttpRequest| over(http.clone(), request);

    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (request, state) = client
        .authorize_url(CsrfToken::new_random)
        .add_scopes(["openid", "profile", "offline_access"].map(|scope| Scope::new(scope.to_owned())))
        .set_pkce_challenge(challenge)
        .url();
    let back = CookieClient::new().sign_in(request.as_str(), LOGIN, PASSWORD, CALLBACK).await.unwrap();
    let answered = |wanted: &str| {
        back.query_pairs().find_map(|(name, value)| (name == wanted).then(|| value.into_owned())).unwrap()
    };
    assert_eq!(answered("state"), *state.secret());
    let code = AuthorizationCode::new(answered("code"));
    let mut tokens =
        client.exchange_code(code).set_pkce_verifier(verifier).request_async(&send).await.unwrap();

    let mut seen = HashSet::new();
    for nth in 1..=REFRESHES {
        let refresh_token = tokens.refresh_token().unwrap().clone();
        assert!(seen.insert(refresh_token.secret().clone()), "refresh {nth} brought a new one");
        tokens = client.exchange_refresh_token(&refresh_token).request_async(&send).await.unwrap();
    }
    let user = http.get(format!("{issuer}/userinfo")).bearer_auth(tokens.access_token().secret());
    assert_eq!(user.send().await.unwrap().status(), 200);
    assert!(server.terminate(DEADLINE).await.unwrap().success());
}

/// The crate brings types, not an HTTP client of this version of reqwest.
async fn over(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let answer = http.execute(request.try_into()?).await?;
    let mut response = http::Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    let body = answer.bytes().await?.to_vec();
    Ok(response.body(body).expect("an answer that was received can be built again"))
}
