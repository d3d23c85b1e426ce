//! The subcommands, one file each, and the failure that all of them share.

mod failure;

pub(crate) use failure::Failure;

use std::process::ExitCode;

/// What `perennial` can be asked to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {}

/// Runs the chosen subcommand to its end.
///
/// # Errors
/// One line that says what went wrong and what to do next.
pub(crate) fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {}
}
