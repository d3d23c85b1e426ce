//! What an operator can ask of a server, and what it answers.

use perennial_core::ClientId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::accounts::{Account, AccountsError};
use crate::clients::{Client, Consent, GrantType};
use crate::config::{ClientForm, FormError};
use crate::run::{ReloadError, Reloaded};

/// What is asked.
#[derive(Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Makes an account.
    UserAdd {
        /// What they sign in with.
        login: String,
        /// What they are called.
        name: Option<String>,
        /// Their address.
        email: Option<String>,
        /// Their password.
        #[serde(with = "secret")]
        password: Zeroizing<String>,
    },
    /// Gives an account another password, and ends all of its sessions.
    UserPasswd {
        /// What they sign in with.
        login: String,
        /// Their new password.
        #[serde(with = "secret")]
        password: Zeroizing<String>,
    },
    /// Refuses sign-in to an account, and ends all of its sessions; or allows it again.
    UserDisable {
        /// What they sign in with.
        login: String,
        /// `false` to allow it again.
        disabled: bool,
    },
    /// All accounts.
    UserList,
    /// Registers a client.
    ClientAdd {
        /// The client, as somebody wrote it down.
        form: Box<ClientForm>,
        /// Whether to make a secret for it.
        confidential: bool,
    },
    /// Gives nothing more to a client, and ends all of its sessions; or lets it in again.
    ClientDisable {
        /// Which.
        id: ClientId,
        /// `false` to let it in again.
        disabled: bool,
    },
    /// All clients.
    ClientList,
    /// Reads the configuration again.
    Reload,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// An account, as it is now.
    User {
        /// The account.
        user: AccountView,
        /// How many of its sessions were ended.
        sessions_ended: u32,
    },
    /// All accounts, in the order of their logins.
    Users {
        /// The accounts.
        users: Vec<AccountView>,
    },
    /// A client, as it is now.
    Client {
        /// The client.
        client: ClientView,
        /// Its secret, which is told this once.
        secret: Option<String>,
        /// How many of its sessions were ended.
        sessions_ended: u32,
    },
    /// All clients, in the order of their ids.
    Clients {
        /// The clients.
        clients: Vec<ClientView>,
    },
    /// The configuration was read again.
    Reloaded(Reloaded),
}

/// An account, for operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// What they sign in with.
    pub login: String,
    /// The `sub` of tokens.
    pub subject: String,
    /// What they are called.
    pub name: Option<String>,
    /// Their address.
    pub email: Option<String>,
    /// Whether sign-in is refused.
    pub disabled: bool,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        Self {
            login: account.login,
            subject: account.subject.into(),
            name: account.name,
            email: account.email,
            disabled: account.disabled,
        }
    }
}

/// A client, for operators: without the hash of its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientView {
    /// Its `client_id`.
    pub id: ClientId,
    /// What people call it.
    pub name: String,
    /// Which defaults of the policy it has.
    pub kind: perennial_core::policy::ClientKind,
    /// Whether it keeps a secret.
    pub confidential: bool,
    /// Where answers may go.
    pub redirect_uris: Vec<String>,
    /// The web origins that may call.
    pub origins: Vec<String>,
    /// What it may present.
    pub grant_types: Vec<GrantType>,
    /// What it may ask for.
    pub scopes: String,
    /// Whether people are asked first.
    pub consent: Consent,
    /// Whether it gets nothing.
    pub disabled: bool,
    /// Whether it comes from the configuration file, where it is changed.
    pub from_file: bool,
}

impl ClientView {
    pub(super) fn of(client: &Client, from_file: bool) -> Self {
        Self {
            id: client.id.clone(),
            name: client.name.clone(),
            kind: client.kind,
            confidential: client.is_confidential(),
            redirect_uris: client.redirect_uris.clone(),
            origins: client.origins.clone(),
            grant_types: client.grant_types.clone(),
            scopes: client.scopes.as_str().to_owned(),
            consent: client.consent,
            disabled: client.disabled,
            from_file,
        }
    }
}

/// Why it was not done: one line, with the next step.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The account's.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// A word of the client.
    #[error(transparent)]
    Form(#[from] FormError),
    /// There is a client with this id.
    #[error("there is a client `{0}` already: choose another id")]
    ClientExists(ClientId),
    /// There is none.
    #[error("there is no client `{0}`: `perennial client list` shows all of them")]
    NoSuchClient(ClientId),
    /// It is not ours to change.
    #[error("the client `{0}` comes from the configuration file: change it there and reload")]
    FromFile(ClientId),
    /// Somebody else changed it at the same moment.
    #[error("the client `{0}` was just changed by somebody else: look at it and try again")]
    Conflict(ClientId),
    /// The store's.
    #[error(transparent)]
    Store(#[from] perennial_store::StoreError),
    /// The configuration's.
    #[error(transparent)]
    Reload(#[from] ReloadError),
    /// Only a running server has something to reload.
    #[error(
        "no server runs on this data folder: start it with `perennial serve`, which reads the configuration"
    )]
    NotRunning,
    /// The system's.
    #[error("the system gives no random bytes for a secret: try again")]
    NoRandomness,
}

mod secret {
    use serde::{Deserialize, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(secret: &Zeroizing<String>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(from).map(Zeroizing::new)
    }
}
