//! `perennial login`: sign in through the browser and keep the sign-in in a profile.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use perennial_client::login::{Login, LoginError, LoginRequest, open_in_browser, store_sign_in};
use perennial_client::{Credentials, FileStore, Store, StoreFailure, Timeouts};

use super::profile::{EXIT_CODES, ProfileArgs, TRY_LATER, block_on, parse_duration, readable};
use super::{Failure, output};

/// How long another process may hold the profile's lock before anybody is sent to a browser.
const LOCK_WITHIN: Duration = Duration::from_secs(10);
const DEFAULT_CLIENT: &str = "demo-cli";

/// Sign in, in the browser.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct LoginArgs {
    /// The server to sign in to, like https://id.example.org; without it, the one of the last sign-in.
    issuer: Option<String>,
    /// This program's id at that server [default: that of the last sign-in there, else demo-cli].
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The scopes to ask for.
    #[arg(long, default_value = "openid profile offline_access", value_name = "SCOPES")]
    scope: String,
    #[command(flatten)]
    profile: ProfileArgs,
    /// Only print the address; open no browser.
    #[arg(long)]
    no_browser: bool,
    /// How long to wait for the sign-in.
    #[arg(long, default_value = "5m", value_parser = parse_duration, value_name = "DURATION")]
    timeout: Duration,
}

/// Signs in.
pub(crate) fn run(args: LoginArgs) -> Result<ExitCode, Failure> {
    let store = args.profile.store()?;
    block_on(sign_in(args, store))
}

async fn sign_in(args: LoginArgs, store: FileStore) -> Result<ExitCode, Failure> {
    let store = Arc::new(store);
    let looked = tokio::time::timeout(LOCK_WITHIN, look(&store)).await.map_err(|_| {
        let lock = store.path().display();
        let text = format!("another process has held the lock of {lock} for 10 s; end it if it is stuck");
        Failure::new(text).with_code(TRY_LATER)
    })?;
    let previous = looked.map_err(|failure| args.profile.store_failure(&failure))?;
    let request = request(&args, previous.as_ref())?;
    let login = Login::start(request).await.map_err(|error| login_failure(&error))?;
    announce(&login, &args).await?;
    let credentials = login.finish(args.timeout).await.map_err(|error| login_failure(&error))?;
    let stored = store_sign_in(store, credentials).await;
    let stored = stored.map_err(|failure| args.profile.store_failure(&failure))?;
    let issuer = &stored.issuer;
    eprintln!("Signed in to {issuer} as profile `{}`. Try `perennial token` next.", args.profile.profile);
    Ok(ExitCode::SUCCESS)
}

/// What the profile holds; and whether the sign-in could be kept, before anybody is sent to a browser.
async fn look(store: &Arc<FileStore>) -> Result<Option<Credentials>, StoreFailure> {
    let looked = tokio::task::spawn_blocking({
        let store = store.clone();
        move || {
            let lock = store.lock()?;
            match store.read(Some(&lock)) {
                Err(StoreFailure::Corrupt { moved_to, .. }) => {
                    eprintln!("The credentials of this profile were damaged; they were moved to {moved_to}.");
                    Ok(None)
                }
                read => read,
            }
        }
    });
    looked.await.unwrap_or_else(|error| {
        let path = store.path().display().to_string();
        Err(StoreFailure::Io { path, verb: "read", cause: error.to_string() })
    })
}

fn request(args: &LoginArgs, previous: Option<&Credentials>) -> Result<LoginRequest, Failure> {
    let issuer = args.issuer.clone().or_else(|| previous.map(|previous| previous.issuer.clone()));
    let Some(issuer) = issuer else {
        let profile = &args.profile.profile;
        let text =
            format!("profile `{profile}` holds no sign-in yet: name the server, `perennial login ISSUER`");
        return Err(Failure::new(text).with_code(2));
    };
    let previous = previous.filter(|previous| previous.issuer == issuer);
    let client_id = args.client_id.clone();
    let client_id = client_id.or_else(|| previous.map(|previous| previous.client_id.clone()));
    let continues = previous.and_then(Credentials::session_to_continue).map(|session| session.id.clone());
    Ok(LoginRequest {
        issuer,
        client_id: client_id.unwrap_or_else(|| DEFAULT_CLIENT.to_owned()),
        scope: args.scope.clone(),
        continues,
        timeouts: Timeouts::default(),
    })
}

async fn announce(login: &Login, args: &LoginArgs) -> Result<(), Failure> {
    let url = login.authorization_url();
    if !args.no_browser && open_in_browser(url).await {
        eprintln!("Your browser shows the sign-in. If it does not, open:");
    } else {
        eprintln!("Open this address in a browser on this machine:");
    }
    eprintln!();
    // On standard output, so that a script can take it.
    output::line(url)?;
    eprintln!();
    eprintln!("Waiting for the sign-in, at most {}.", readable(args.timeout));
    Ok(())
}

fn login_failure(error: &LoginError) -> Failure {
    let code = if error.is_retriable() { TRY_LATER } else { 1 };
    Failure::new(error.to_string()).with_code(code)
}
