//! The subcommands, one file each, and the failure that all of them share.

mod client;
mod config;
mod dev;
mod exec;
mod failure;
mod log;
mod login;
mod operate;
pub(crate) mod output;
mod profile;
mod reload;
mod serve;
mod settings;
mod status;
mod token;
mod user;

pub(crate) use failure::Failure;

use std::process::ExitCode;

/// What `perennial` can be asked to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run everything on this machine: server, demo account, sample API, and a client in a bad network.
    Dev(dev::DevArgs),
    /// Run the server.
    Serve(serve::ServeArgs),
    /// Manage the accounts that may sign in.
    User(user::UserArgs),
    /// Manage the clients that may ask for tokens.
    Client(client::ClientArgs),
    /// Check or show the configuration.
    Config(config::ConfigArgs),
    /// Have a running server read its configuration again.
    Reload(reload::ReloadArgs),
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
        Command::Serve(args) => serve::run(args),
        Command::User(args) => user::run(args),
        Command::Client(args) => client::run(args),
        Command::Config(args) => config::run(args),
        Command::Reload(args) => reload::run(args),
        Command::Login(args) => login::run(args),
        Command::Token(args) => token::run(&args),
        Command::Exec(args) => exec::run(&args),
        Command::Status(args) => status::run(&args),
    }
}
