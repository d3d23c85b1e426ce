//! `perennial config`: what a configuration says, before a server starts with it.

use std::path::PathBuf;
use std::process::ExitCode;

use super::settings::{SettingFlags, load_file};
use super::{Failure, output};

/// Check or show the configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Say whether a file, with the environment, makes a configuration.
    #[command(after_help = "Exit codes: 0 it does, 2 it does not.")]
    Check {
        /// Which file [default: perennial.toml, where there is one]
        #[arg(env = "PERENNIAL_CONFIG", hide_env_values = true)]
        file: Option<PathBuf>,
    },
    /// Print the whole configuration as it takes effect, and where each value comes from. No secrets.
    Show {
        #[command(flatten)]
        settings: SettingFlags,
    },
}

/// Checks or shows it.
pub(crate) fn run(args: ConfigArgs) -> Result<ExitCode, Failure> {
    match args.what {
        What::Check { file } => {
            let config = load_file(file)?;
            output::line(format_args!(
                "the configuration is good: {} clients, policy `{}`",
                config.clients.len(),
                config.policy.name()
            ))?;
        }
        What::Show { settings } => output::text(settings.load()?.show())?,
    }
    Ok(ExitCode::SUCCESS)
}
