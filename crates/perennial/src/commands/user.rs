//! `perennial user`: the accounts that may sign in.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use perennial_server::control::{AccountView, Answer, Command};
use zeroize::Zeroizing;

use super::operate::{ended, execute, print_json, unexpected};
use super::settings::DataFlags;
use super::{Failure, output};

/// Manage the accounts that may sign in.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A running server is told over its control socket; where none runs, the data folder is \
changed directly."
)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make an account. Asks for its password.
    Add {
        /// What they sign in with.
        login: String,
        /// What they are called.
        #[arg(long)]
        name: Option<String>,
        /// Their e-mail address.
        #[arg(long)]
        email: Option<String>,
        #[command(flatten)]
        password: PasswordFlags,
        #[command(flatten)]
        data: DataFlags,
    },
    /// Give an account another password. All of its sessions end at once.
    Passwd {
        /// What they sign in with.
        login: String,
        #[command(flatten)]
        password: PasswordFlags,
        #[command(flatten)]
        data: DataFlags,
    },
    /// Refuse sign-in to an account. All of its sessions end at once.
    Disable {
        /// What they sign in with.
        login: String,
        #[command(flatten)]
        data: DataFlags,
    },
    /// Allow sign-in to a disabled account again.
    Enable {
        /// What they sign in with.
        login: String,
        #[command(flatten)]
        data: DataFlags,
    },
    /// List all accounts.
    List {
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        data: DataFlags,
    },
}

#[derive(Debug, clap::Args)]
struct PasswordFlags {
    /// Read the password from standard input, its first line.
    #[arg(long)]
    password_stdin: bool,
}

/// Does what is asked of the accounts.
pub(crate) fn run(args: UserArgs) -> Result<ExitCode, Failure> {
    match args.what {
        What::Add { login, name, email, password, data } => {
            let config = data.load()?;
            let password = password.read()?;
            let (user, _) = one(execute(&config, Command::UserAdd { login, name, email, password })?)?;
            output::line(format_args!("added {} (subject {})", user.login, user.subject))?;
        }
        What::Passwd { login, password, data } => {
            let config = data.load()?;
            let password = password.read()?;
            let (user, sessions) = one(execute(&config, Command::UserPasswd { login, password })?)?;
            output::line(format_args!("{} has a new password{}", user.login, ended(sessions)))?;
        }
        What::Disable { login, data } => {
            let command = Command::UserDisable { login, disabled: true };
            let (user, sessions) = one(execute(&data.load()?, command)?)?;
            output::line(format_args!("{} is disabled{}", user.login, ended(sessions)))?;
        }
        What::Enable { login, data } => {
            let command = Command::UserDisable { login, disabled: false };
            let (user, _) = one(execute(&data.load()?, command)?)?;
            output::line(format_args!("{} may sign in again", user.login))?;
        }
        What::List { json, data } => {
            let Answer::Users { users } = execute(&data.load()?, Command::UserList)? else {
                return Err(unexpected());
            };
            if json {
                print_json(&users)?;
            } else {
                output::text(table(&users))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn one(answer: Answer) -> Result<(AccountView, u32), Failure> {
    match answer {
        Answer::User { user, sessions_ended } => Ok((user, sessions_ended)),
        Answer::Users { .. } | Answer::Client { .. } | Answer::Clients { .. } | Answer::Reloaded(_) => {
            Err(unexpected())
        }
    }
}

fn table(users: &[AccountView]) -> String {
    if users.is_empty() {
        return "no accounts; make one with `perennial user add LOGIN`\n".to_owned();
    }
    let width = users.iter().map(|user| user.login.chars().count()).max().unwrap_or(0);
    let line = |user: &AccountView| {
        let state = if user.disabled { "  disabled" } else { "" };
        let name = user.name.as_deref().unwrap_or("-");
        format!("{:width$}  {}  {name}{state}\n", user.login, user.subject)
    };
    users.iter().map(line).collect()
}

impl PasswordFlags {
    /// Never an argument: those are everybody's to read while the process lives.
    fn read(&self) -> Result<Zeroizing<String>, Failure> {
        if self.password_stdin {
            return first_line();
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::new("there is no terminal to ask for a password: use --password-stdin"));
        }
        let ask = |prompt: &str| {
            rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|error| {
                Failure::new(format!("no password was read ({error}): use --password-stdin"))
            })
        };
        let (first, second) = (ask("password: ")?, ask("once more: ")?);
        if *first != *second {
            return Err(Failure::new("the two passwords differ: try again"));
        }
        Ok(first)
    }
}

fn first_line() -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::new(format!("no password was read from standard input ({error})")))?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}
