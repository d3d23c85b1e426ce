//! The `perennial` command: the server, the client and the tools in one binary.
//!
//! Each subcommand is a file in `commands`; what it does lives in the library crates. A command ends with an
//! exit code of its own or with a `Failure`: one line that says what went wrong and what to do next.

mod commands;
mod dev;

use std::process::ExitCode;

use clap::Parser;

/// Sessions that outlive their tokens.
#[derive(Debug, Parser)]
#[command(name = "perennial", version, about, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match commands::run(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("perennial: {failure}");
            failure.exit_code()
        }
    }
}
