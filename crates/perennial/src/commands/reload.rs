//! `perennial reload`: a running server reads its configuration again, and says what came of it.

use std::process::ExitCode;

use perennial_server::control::{Answer, Command};

use super::operate::{execute, unexpected};
use super::settings::DataFlags;
use super::{Failure, output};

/// Have a running server read its configuration again.
#[derive(Debug, clap::Args)]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    data: DataFlags,
}

/// Has it done, and says what needs a restart.
pub(crate) fn run(args: ReloadArgs) -> Result<ExitCode, Failure> {
    let Answer::Reloaded(reloaded) = execute(&args.data.load()?, Command::Reload)? else {
        return Err(unexpected());
    };
    output::line(format_args!("reloaded: {} clients", reloaded.clients))?;
    if !reloaded.needs_restart.is_empty() {
        output::line(format_args!("in effect only after a restart: {}", reloaded.needs_restart.join(", ")))?;
    }
    Ok(ExitCode::SUCCESS)
}
