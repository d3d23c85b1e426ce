//! `perennial token`: print an access token that lives, refreshing it first where that is due.

use std::process::ExitCode;
use std::time::Duration;

use super::profile::{EXIT_CODES, ProfileArgs, block_on, parse_duration};
use super::{Failure, output};

/// Print an access token that lives.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    profile: ProfileArgs,
    /// How much life it should have left; at most half of the server's token lifetime is promised.
    #[arg(long, default_value = "60s", value_parser = parse_duration, value_name = "DURATION")]
    min_ttl: Duration,
    /// How long to wait for it while the server is away.
    #[arg(long, default_value = "30s", value_parser = parse_duration, value_name = "DURATION")]
    wait: Duration,
    /// Print a JSON object with `access_token`, `token_type`, `expires_in`, `expires_at` (Unix seconds), `scope`.
    #[arg(long)]
    json: bool,
}

/// Prints the token.
pub(crate) fn run(args: &TokenArgs) -> Result<ExitCode, Failure> {
    block_on(async {
        let session = args.profile.open(args.wait).await?;
        let token = session.token_for(args.min_ttl).await;
        let token = token.map_err(|error| args.profile.token_failure(&error))?;
        if args.json {
            let object = serde_json::json!({
                "access_token": token.expose(),
                "token_type": "Bearer",
                "expires_in": token.remaining().as_secs(),
                "expires_at": token.expires_at().0 / 1_000,
                "scope": token.scope(),
            });
            output::line(format_args!("{object}"))?;
        } else {
            output::line(token.expose())?;
        }
        Ok(ExitCode::SUCCESS)
    })
}
