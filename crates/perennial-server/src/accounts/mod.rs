//! The embedded accounts: who may sign in, and how they prove who they are.
//!
//! An account is two records, written together: what it is, by subject, and which subject a login belongs to.
//! Nothing here tells whether an account exists to anybody who has not signed in to it: an unknown login costs
//! the same reads and the same argon2 work as a wrong password, and gives the same answer.

pub(crate) mod attempts;
mod disable;
mod login;
mod password;
pub(crate) mod random;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use perennial_core::{SubjectId, UnixMillis};
use perennial_store::{PutRecord, Record, RecordKind, Store, StoreError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use login::MalformedLogin;
pub use password::UnfitPassword;

use attempts::Attempts;
use login::Login;
use password::{HashingPool, KeptHash, LONGEST_PASSWORD, NotHashed};
use random::random_bytes;

/// How long somebody who was turned away should wait.
const BUSY_RETRY_AFTER_S: u32 = 2;

/// The accounts in the store, the bounded pool that hashes passwords, and how often each may be guessed.
#[derive(Debug)]
pub struct Accounts {
    pool: HashingPool,
    pub(crate) attempts: Attempts,
}

/// Somebody who may sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The `sub` of tokens: 128 random bits, base64url; it never changes and is never given to another.
    pub subject: SubjectId,
    /// What they sign in with, lower-cased: the claim `preferred_username`.
    pub login: String,
    /// The claim `name`.
    pub name: Option<String>,
    /// The claim `email`.
    pub email: Option<String>,
    /// Whether sign-in is refused.
    pub disabled: bool,
    password: KeptHash,
    credentials: u32,
    created_at: UnixMillis,
}

/// An account to be.
#[derive(Debug)]
pub struct NewAccount {
    /// What they will sign in with: 1 to 128 characters, kept trimmed and lower-cased.
    pub login: String,
    /// The claim `name`.
    pub name: Option<String>,
    /// The claim `email`.
    pub email: Option<String>,
    /// 8 to 1,024 characters.
    pub password: Zeroizing<String>,
}

/// Why an account could not be read, made, changed or proven.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The caller's: the login is another account's.
    #[error(
        "the login `{0}` is taken: choose another, or give that account a new password with `perennial user passwd {0}`"
    )]
    LoginTaken(String),
    /// The caller's: no login.
    #[error(transparent)]
    Login(#[from] MalformedLogin),
    /// The caller's: too short or too long.
    #[error(transparent)]
    Password(#[from] UnfitPassword),
    /// The caller's, who is an operator: no account has this login.
    #[error("no account has the login `{0}`: `perennial user list` shows all of them")]
    NoSuchAccount(String),
    /// Ours, and it passes: as many passwords are being checked and waiting as the server takes on.
    #[error(
        "more passwords are being checked than this server takes on at once: try again in {retry_after_s} s"
    )]
    Busy {
        /// When to come back.
        retry_after_s: u32,
    },
    /// Ours, and it passes: somebody else was changing the account at the same moment.
    #[error("the account was being changed by somebody else: try again")]
    Conflict,
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Ours: argon2 did not run.
    #[error("the password could not be hashed ({0}): see that the server has 19 MiB of memory to spare")]
    Hashing(String),
}

impl AccountsError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::Conflict => true,
            Self::Store(error) => error.is_retriable(),
            Self::LoginTaken(_)
            | Self::Login(_)
            | Self::Password(_)
            | Self::NoSuchAccount(_)
            | Self::Hashing(_) => false,
        }
    }
}

impl From<NotHashed> for AccountsError {
    fn from(not: NotHashed) -> Self {
        match not {
            NotHashed::Busy => Self::Busy { retry_after_s: BUSY_RETRY_AFTER_S },
            NotHashed::Failed(why) => Self::Hashing(why),
        }
    }
}

impl Account {
    /// Rises with every change of password: a browser's login made under another number is over.
    pub(crate) const fn credentials(&self) -> u32 {
        self.credentials
    }
}

impl Accounts {
    /// Accounts whose passwords are hashed `parallel_hashes` at a time, each with 19 MiB of memory.
    #[must_use]
    pub fn new(parallel_hashes: usize) -> Self {
        Self { pool: HashingPool::new(parallel_hashes), attempts: Attempts::new() }
    }

    /// The account that this login and password belong to; `None` where they do not match, where there is no
    /// such account, or where it is disabled, all after the same time.
    ///
    /// # Errors
    /// [`AccountsError::Busy`] where too many are waiting; the store's; never anything about the account.
    pub async fn authenticate(
        &self,
        store: &dyn Store,
        login: &str,
        password: &str,
    ) -> Result<Option<Account>, AccountsError> {
        let account = match Login::parse(login) {
            Ok(login) => by_login(store, &login).await?.map(|(account, _)| account),
            Err(MalformedLogin) => None,
        };
        if password.chars().take(LONGEST_PASSWORD + 1).count() > LONGEST_PASSWORD {
            return Ok(None);
        }
        let kept = account.as_ref().map(|account| &account.password);
        let right = self.pool.verify(password, kept).await?;
        Ok(account.filter(|account| right && !account.disabled))
    }

    /// Makes an account.
    ///
    /// # Errors
    /// The login is taken or none, the password is unfit, the pool is busy, or the store's.
    pub async fn add(
        &self,
        store: &dyn Store,
        new: NewAccount,
        now: UnixMillis,
    ) -> Result<Account, AccountsError> {
        let login = Login::parse(&new.login)?;
        password::check_fit(&new.password)?;
        if store.record(RecordKind::Login, login.as_str()).await?.is_some() {
            return Err(AccountsError::LoginTaken(login.into()));
        }
        let account = Account {
            subject: SubjectId::from(URL_SAFE_NO_PAD.encode(random_bytes::<16>())),
            login: login.as_str().to_owned(),
            name: new.name,
            email: new.email,
            disabled: false,
            password: self.pool.hash(&new.password).await?,
            credentials: 1,
            created_at: now,
        };
        let records = vec![
            PutRecord {
                kind: RecordKind::Login,
                key: login.as_str().to_owned(),
                expect: 0,
                body: account.subject.as_str().as_bytes().to_vec(),
            },
            account.to_put(0),
        ];
        // Whoever was quicker with the same login has it: both records are written or none.
        if store.put_records(records).await? {
            Ok(account)
        } else {
            Err(AccountsError::LoginTaken(login.into()))
        }
    }

    /// Gives an account another password; every browser's login to it is over. Its sessions are the caller's to
    /// end.
    ///
    /// # Errors
    /// No such account, an unfit password, a busy pool, somebody else's change, or the store's.
    pub async fn set_password(
        &self,
        store: &dyn Store,
        login: &str,
        password: &str,
    ) -> Result<Account, AccountsError> {
        let login = Login::parse(login)?;
        password::check_fit(password)?;
        let no_such = || AccountsError::NoSuchAccount(login.as_str().to_owned());
        by_login(store, &login).await?.ok_or_else(no_such)?;
        let hash = self.pool.hash(password).await?;
        let (account, version) = by_login(store, &login).await?.ok_or_else(no_such)?;
        let credentials = account.credentials.wrapping_add(1);
        let account = Account { password: hash, credentials, ..account };
        if store.put_records(vec![account.to_put(version)]).await? {
            Ok(account)
        } else {
            Err(AccountsError::Conflict)
        }
    }

    /// Accounts in the order of their logins, `limit` at most, after the login `after`.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(
        &self,
        store: &dyn Store,
        after: Option<&str>,
        limit: u16,
    ) -> Result<Vec<Account>, AccountsError> {
        let mut accounts = Vec::new();
        for record in store.records(RecordKind::Login, after, limit).await? {
            let subject = subject_in(&record)?;
            accounts.extend(self.by_subject(store, &subject).await?);
        }
        Ok(accounts)
    }

    /// The account of a subject, disabled or not.
    ///
    /// # Errors
    /// The store's.
    pub async fn by_subject(
        &self,
        store: &dyn Store,
        subject: &SubjectId,
    ) -> Result<Option<Account>, AccountsError> {
        let record = store.record(RecordKind::Account, subject.as_str()).await?;
        Ok(record.as_ref().map(Account::of_record).transpose()?)
    }

    /// The account with a login, disabled or not: for operators, never for anybody who has yet to sign in.
    ///
    /// # Errors
    /// The store's.
    pub async fn by_login(&self, store: &dyn Store, login: &str) -> Result<Option<Account>, AccountsError> {
        let Ok(login) = Login::parse(login) else { return Ok(None) };
        Ok(by_login(store, &login).await?.map(|(account, _)| account))
    }
}

/// The account with this login, and its record's version. Without one it reads as often, so that the time does
/// not tell.
async fn by_login(store: &dyn Store, login: &Login) -> Result<Option<(Account, u32)>, AccountsError> {
    let found = store.record(RecordKind::Login, login.as_str()).await?;
    let subject = found.as_ref().map(subject_in).transpose()?;
    let key = subject.as_ref().map_or("nobody", SubjectId::as_str);
    let record = store.record(RecordKind::Account, key).await?;
    let (Some(_), Some(record)) = (subject, record) else { return Ok(None) };
    Ok(Some((Account::of_record(&record)?, record.version)))
}

fn subject_in(record: &Record) -> Result<SubjectId, StoreError> {
    let text = std::str::from_utf8(&record.body).map_err(|error| damaged(record, &error))?;
    Ok(SubjectId::from(text))
}

fn damaged(record: &Record, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged {
        what: format!("the {:?} record `{}`", record.kind, record.key),
        why: why.to_string(),
    }
}

/// An account as its record says it.
#[derive(Serialize, Deserialize)]
struct Kept {
    login: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(default)]
    disabled: bool,
    password: String,
    credentials: u32,
    /// Unix milliseconds: for people to read.
    created_at: u64,
}

impl Account {
    fn of_record(record: &Record) -> Result<Self, StoreError> {
        let kept: Kept = serde_json::from_slice(&record.body).map_err(|error| damaged(record, &error))?;
        Ok(Self {
            subject: SubjectId::from(record.key.as_str()),
            login: kept.login,
            name: kept.name,
            email: kept.email,
            disabled: kept.disabled,
            password: KeptHash(kept.password),
            credentials: kept.credentials,
            created_at: UnixMillis(kept.created_at),
        })
    }

    fn to_put(&self, expect: u32) -> PutRecord {
        let kept = Kept {
            login: self.login.clone(),
            name: self.name.clone(),
            email: self.email.clone(),
            disabled: self.disabled,
            password: self.password.0.clone(),
            credentials: self.credentials,
            created_at: self.created_at.0,
        };
        let body = serde_json::to_vec(&kept).expect("a record of texts and numbers is JSON");
        PutRecord { kind: RecordKind::Account, key: self.subject.as_str().to_owned(), expect, body }
    }
}
