//! The subcommands, one file each, and the failure that all of them share.

mod dev;
mod exec;
mod failure;
mod login;
mod profile;
mod status;
mod token;

pub(crate) use failure::Failure;

use std::process::ExitCode;

/// What `perennial` can be asked to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine: server, demo account, sample API, and a client in a bad network.
    Dev(dev::DevArgs),
    /// Sign in, in the browser, and keep the sign-in in a profile.
    Login(login::LoginArgs),
    /// Print an access token that lives.
    Token(token::TokenArgs),
    /// Run a command with an access token, kept alive while it runs.
    Exec(exec::ExecArgs),
    /// Show what a profile holds.
    Status(status::StatusArgs),
}

/// Runs the chosen subcommand to its end.
///
/// # Errors
/// One line that says what went wrong and what to do next.
pub(crate) fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Dev(args) => dev::run(args),
        Command::Login(args) => login::run(args),
        Command::Token(args) => token::run(&args),
        Command::Exec(args) => exec::run(&args),
        Command::Status(args) => status::run(&args),
    }
}
