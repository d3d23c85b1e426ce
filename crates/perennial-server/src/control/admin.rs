//! What an operator can do, in one place: the socket's commands and those without a server end here.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use perennial_core::session::EndCause;
use perennial_core::{ClientId, SubjectId};
use perennial_store::SessionsOf;
use zeroize::Zeroizing;

use super::command::{AccountView, Answer, ClientView, Command, CommandError};
use super::registry::ClientRegistry;
use crate::accounts::{Account, NewAccount};
use crate::config::ClientForm;
use crate::run::Live;
use crate::service::Service;
use crate::sweeper::end_sessions_of;

const PAGE: u16 = 256;

/// Commands a service.
pub struct Admin {
    registry: Arc<ClientRegistry>,
    live: Option<Arc<Live>>,
}

impl Admin {
    pub(crate) fn new(registry: Arc<ClientRegistry>, live: Option<Arc<Live>>) -> Self {
        Self { registry, live }
    }

    /// Does what is asked.
    ///
    /// # Errors
    /// Why it was not done: one line, with the next step.
    pub async fn execute(&self, command: Command) -> Result<Answer, CommandError> {
        match command {
            Command::UserAdd { login, name, email, password } => {
                let user = self.add_user(NewAccount { login, name, email, password }).await?.into();
                Ok(Answer::User { user, sessions_ended: 0 })
            }
            Command::UserPasswd { login, password } => self.change_password(&login, &password).await,
            Command::UserDisable { login, disabled } => self.disable_user(&login, disabled).await,
            Command::UserList => Ok(Answer::Users { users: self.users().await? }),
            Command::ClientAdd { form, confidential } => self.add_client(*form, confidential).await,
            Command::ClientDisable { id, disabled } => self.disable_client(&id, disabled).await,
            Command::ClientList => Ok(Answer::Clients { clients: self.registry.list() }),
            Command::Reload => match &self.live {
                Some(live) => Ok(Answer::Reloaded(live.reload().await?)),
                None => Err(CommandError::NotRunning),
            },
        }
    }

    /// Makes an account.
    ///
    /// # Errors
    /// As [`crate::accounts::Accounts::add`].
    pub async fn add_user(&self, new: NewAccount) -> Result<Account, CommandError> {
        let service = self.service();
        let account = service.accounts.add(&*service.store, new, service.clock.now().wall).await?;
        tracing::info!(subject = %account.subject, "an account was made");
        Ok(account)
    }

    async fn change_password(&self, login: &str, password: &str) -> Result<Answer, CommandError> {
        let service = self.service();
        let account = service.accounts.set_password(&*service.store, login, password).await?;
        let ended = self.end_sessions(&account.subject, EndCause::PasswordChange).await?;
        Ok(Answer::User { user: account.into(), sessions_ended: ended })
    }

    async fn disable_user(&self, login: &str, disabled: bool) -> Result<Answer, CommandError> {
        let service = self.service();
        let account = service.accounts.set_disabled(&*service.store, login, disabled).await?;
        let ended =
            if disabled { self.end_sessions(&account.subject, EndCause::SubjectDisabled).await? } else { 0 };
        Ok(Answer::User { user: account.into(), sessions_ended: ended })
    }

    async fn users(&self) -> Result<Vec<AccountView>, CommandError> {
        let service = self.service();
        let mut users: Vec<AccountView> = Vec::new();
        loop {
            let after = users.last().map(|user| user.login.as_str());
            let page = service.accounts.list(&*service.store, after, PAGE).await?;
            let is_last = page.len() < usize::from(PAGE);
            users.extend(page.into_iter().map(AccountView::from));
            if is_last {
                return Ok(users);
            }
        }
    }

    async fn add_client(&self, mut form: ClientForm, confidential: bool) -> Result<Answer, CommandError> {
        let secret = if confidential && form.secret.is_none() && form.secret_sha256.is_none() {
            let mut random = Zeroizing::new([0; 32]);
            getrandom::fill(&mut *random).map_err(|_| CommandError::NoRandomness)?;
            Some(URL_SAFE_NO_PAD.encode(*random))
        } else {
            None
        };
        if secret.is_some() {
            form.secret.clone_from(&secret);
        }
        let client = form.check()?;
        let view = ClientView::of(&client, false);
        self.registry.add(client).await?;
        tracing::info!(client = %view.id, "a client was registered");
        Ok(Answer::Client { client: view, secret, sessions_ended: 0 })
    }

    async fn disable_client(&self, id: &ClientId, disabled: bool) -> Result<Answer, CommandError> {
        let (client, ended) = self.registry.set_disabled(id, disabled).await?;
        Ok(Answer::Client { client: ClientView::of(&client, false), secret: None, sessions_ended: ended })
    }

    async fn end_sessions(&self, subject: &SubjectId, cause: EndCause) -> Result<u32, CommandError> {
        Ok(end_sessions_of(self.service(), SessionsOf::Subject(subject.clone()), cause).await?)
    }

    fn service(&self) -> &Service {
        self.registry.service()
    }
}
