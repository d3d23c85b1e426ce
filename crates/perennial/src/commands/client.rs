//! `perennial client`: the clients that may ask for tokens.

use std::process::ExitCode;

use perennial_server::config::ClientForm;
use perennial_server::control::{Answer, ClientView, Command};

use super::operate::{ended, execute, print_json, unexpected};
use super::settings::DataFlags;
use super::{Failure, output};

/// Manage the clients that may ask for tokens.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A running server is told over its control socket; where none runs, the data folder is \
changed directly. Clients of the configuration file are changed there."
)]
pub(crate) struct ClientArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Register a client.
    Add(Box<Add>),
    /// Give nothing more to a client. All of its sessions end at once.
    Disable {
        /// Its client_id.
        id: String,
        #[command(flatten)]
        data: DataFlags,
    },
    /// Let a disabled client in again.
    Enable {
        /// Its client_id.
        id: String,
        #[command(flatten)]
        data: DataFlags,
    },
    /// List all clients.
    List {
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        data: DataFlags,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
    /// Its client_id.
    id: String,
    /// What people call it [default: its id]
    #[arg(long)]
    name: Option<String>,
    /// web, native, service or agent [default: web]
    #[arg(long)]
    kind: Option<String>,
    /// Where answers may go; may be given more than once.
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,
    /// Where a sign-out may lead; may be given more than once.
    #[arg(long = "post-logout-redirect-uri", value_name = "URI")]
    post_logout_redirect_uris: Vec<String>,
    /// A web origin that may call from a browser; may be given more than once.
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// What it may ask for; may be given more than once.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// authorization_code, refresh_token or client_credentials [default: those of its kind]
    #[arg(long = "grant", value_name = "GRANT")]
    grant_types: Vec<String>,
    /// Make a secret for it, and print it this once.
    #[arg(long)]
    confidential: bool,
    /// Whether people are asked first: ask or not_needed [default: not_needed]
    #[arg(long)]
    consent: Option<String>,
    /// The audience of its access tokens [default: the issuer]
    #[arg(long)]
    audience: Option<String>,
    /// Its own level of theft detection: strict, balanced or tolerant.
    #[arg(long)]
    level: Option<String>,
    /// Its own response to theft: contest, revoke or observe.
    #[arg(long)]
    response: Option<String>,
    #[command(flatten)]
    data: DataFlags,
}

/// Does what is asked of the clients.
pub(crate) fn run(args: ClientArgs) -> Result<ExitCode, Failure> {
    match args.what {
        What::Add(add) => register(*add)?,
        What::Disable { id, data } => {
            let command = Command::ClientDisable { id: id.into(), disabled: true };
            let (client, _, sessions) = one(execute(&data.load()?, command)?)?;
            output::line(format_args!("{} is disabled{}", client.id, ended(sessions)))?;
        }
        What::Enable { id, data } => {
            let command = Command::ClientDisable { id: id.into(), disabled: false };
            let (client, _, _) = one(execute(&data.load()?, command)?)?;
            output::line(format_args!("{} may ask for tokens again", client.id))?;
        }
        What::List { json, data } => {
            let Answer::Clients { clients } = execute(&data.load()?, Command::ClientList)? else {
                return Err(unexpected());
            };
            if json {
                print_json(&clients)?;
            } else {
                output::text(table(&clients))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn register(add: Add) -> Result<(), Failure> {
    let config = add.data.load()?;
    let form = ClientForm {
        id: add.id,
        name: add.name,
        kind: add.kind,
        redirect_uris: add.redirect_uris,
        post_logout_redirect_uris: add.post_logout_redirect_uris,
        origins: add.origins,
        grant_types: add.grant_types,
        scopes: add.scopes,
        consent: add.consent,
        audience: add.audience,
        level: add.level,
        response: add.response,
        ..ClientForm::default()
    };
    let command = Command::ClientAdd { form: Box::new(form), confidential: add.confidential };
    let (client, secret, _) = one(execute(&config, command)?)?;
    output::line(format_args!("added {}", client.id))?;
    if let Some(secret) = secret {
        output::line(format_args!("secret {secret}"))?;
        eprintln!("keep the secret: it is not shown again");
    }
    Ok(())
}

fn one(answer: Answer) -> Result<(ClientView, Option<String>, u32), Failure> {
    match answer {
        Answer::Client { client, secret, sessions_ended } => Ok((client, secret, sessions_ended)),
        Answer::User { .. } | Answer::Users { .. } | Answer::Clients { .. } | Answer::Reloaded(_) => {
            Err(unexpected())
        }
    }
}

fn table(clients: &[ClientView]) -> String {
    if clients.is_empty() {
        return "no clients; register one with `perennial client add ID`\n".to_owned();
    }
    let width = clients.iter().map(|client| client.id.as_str().len()).max().unwrap_or(0);
    let line = |client: &ClientView| {
        let secret = if client.confidential { "confidential" } else { "public" };
        let place = if client.from_file { "file" } else { "store" };
        let state = if client.disabled { "  disabled" } else { "" };
        format!("{:width$}  {secret:12}  {place:5}  {}{state}\n", client.id.as_str(), client.name)
    };
    clients.iter().map(line).collect()
}
