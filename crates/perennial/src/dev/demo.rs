//! The demo account, the demo clients and the policy of `perennial dev`; the names are in the README.

use std::net::SocketAddr;
use std::path::Path;

use perennial_core::policy::{ClientKind, Level, Policy, Response};
use perennial_core::{ClientId, Scopes};
use perennial_server::accounts::{AccountsError, NewAccount};
use perennial_server::clients::{Client, Consent, GrantType, secret_hash};
use perennial_server::config::Config;
use perennial_server::control::CommandError;
use perennial_server::run::Running;

use crate::commands::Failure;

/// The demo account's name.
pub(super) const LOGIN: &str = "ada";
/// Its password.
pub(super) const PASSWORD: &str = "correct horse battery staple";
/// The secret of `demo-service`.
pub(super) const SERVICE_SECRET: &str = "demo-service-secret";
/// What the demo devices ask for.
pub(super) const SCOPES: &str = "openid profile offline_access";

/// Short access tokens, so that a minute shows several renewals.
const POLICY: &str = r#"
[policy]
name = "dev"
[client_kinds.web]
access_token.lifetime = "20s"
[client_kinds.native]
access_token.lifetime = "20s"
[client_kinds.service]
access_token.lifetime = "20s"
[client_kinds.agent]
access_token.lifetime = "20s"
"#;

/// The server's configuration, in this data folder.
pub(super) fn config(data: &Path, listen: SocketAddr) -> Result<Config, Failure> {
    let policy =
        Policy::parse(POLICY).map_err(|error| Failure::new(format!("the policy of dev: {error}")))?;
    let mut config = Config::in_folder(data);
    config.listen = listen;
    config.policy = policy;
    config.clients = clients()?;
    Ok(config)
}

/// Makes the account; one that is there from last time stays.
pub(super) async fn add_account(server: &Running) -> Result<(), Failure> {
    let ada = NewAccount {
        login: LOGIN.to_owned(),
        name: Some("Ada Lovelace".to_owned()),
        email: Some("ada@example.org".to_owned()),
        password: PASSWORD.to_owned().into(),
    };
    match server.admin().add_user(ada).await {
        Ok(_) => Ok(()),
        Err(CommandError::Accounts(AccountsError::LoginTaken(_))) => Ok(()),
        Err(error) => Err(Failure::new(format!("the demo account cannot be made: {error}"))),
    }
}

fn clients() -> Result<Vec<Client>, Failure> {
    let web = Client {
        id: ClientId::from("demo-web"),
        name: "Demo web app".to_owned(),
        kind: ClientKind::Web,
        secret_sha256: None,
        redirect_uris: loopback("/callback"),
        post_logout_redirect_uris: loopback("/"),
        origins: loopback("").into_iter().map(|origin| format!("{origin}:*")).collect(),
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        scopes: Scopes::parse(SCOPES).map_err(|error| Failure::new(error.to_string()))?,
        consent: Consent::NotNeeded,
        audience: None,
        level: None,
        response: None,
        disabled: false,
    };
    let strict = Client {
        id: ClientId::from("demo-strict"),
        name: "Demo app under strict rotation".to_owned(),
        level: Some(Level::Strict),
        response: Some(Response::Revoke),
        ..web.clone()
    };
    let cli = Client {
        id: ClientId::from("demo-cli"),
        name: "Demo command line".to_owned(),
        kind: ClientKind::Agent,
        ..web.clone()
    };
    let service = Client {
        id: ClientId::from("demo-service"),
        name: "Demo service".to_owned(),
        kind: ClientKind::Service,
        secret_sha256: Some(secret_hash(SERVICE_SECRET)),
        redirect_uris: vec![],
        post_logout_redirect_uris: vec![],
        origins: vec![],
        grant_types: vec![GrantType::ClientCredentials],
        ..web.clone()
    };
    Ok(vec![web, strict, cli, service])
}

/// One address on each of loopback's names; any port is as good (RFC 8252, 7.3).
fn loopback(path: &str) -> Vec<String> {
    ["localhost", "127.0.0.1", "[::1]"].iter().map(|host| format!("http://{host}{path}")).collect()
}
