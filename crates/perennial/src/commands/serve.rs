//! `perennial serve`: the server, until a signal ends it.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use perennial_server::run::{self, Ready};

use super::settings::{BAD_CONFIGURATION, SettingFlags};
use super::{Failure, log};

/// Run the server.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "SIGTERM and SIGINT let it finish what is in work, a second one does not; SIGHUP reads \
the configuration again. Exit codes: 1 it could not start, 2 the configuration is wrong."
)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    settings: SettingFlags,
}

/// What may still be in work when the process ends: nothing that anybody waits for.
const LEFT_OVERS: Duration = Duration::from_millis(100);

/// Runs the server to its end.
pub(crate) fn run(args: ServeArgs) -> Result<ExitCode, Failure> {
    let config = args.settings.load()?;
    let log = log::install(config.log);
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::new(format!("the system gives no threads ({error}): try again")))?;
    let ended = runtime.block_on(run::run(config, |ready| {
        announce(&ready);
        tokio::spawn(log.follow(ready.log_level));
    }));
    runtime.shutdown_timeout(LEFT_OVERS);
    match ended {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            let code = if error.is_configuration() { BAD_CONFIGURATION } else { 1 };
            Err(Failure::new(error.to_string()).with_code(code))
        }
    }
}

/// The line that scripts wait for. Whoever closed standard output does not want it.
fn announce(ready: &Ready) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "ready {}", ready.issuer);
    let _ = stdout.flush();
    tracing::info!(address = %ready.addr, issuer = %ready.issuer, "ready");
}
