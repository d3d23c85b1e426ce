//! Refusing sign-in to an account, and allowing it again.

use perennial_store::Store;

use super::login::Login;
use super::{Account, Accounts, AccountsError, by_login};

impl Accounts {
    /// Refuses sign-in to an account, or allows it again; every browser's login to it is over. Its sessions are
    /// the caller's to end.
    ///
    /// # Errors
    /// No such account, somebody else's change, or the store's.
    pub async fn set_disabled(
        &self,
        store: &dyn Store,
        login: &str,
        disabled: bool,
    ) -> Result<Account, AccountsError> {
        let login = Login::parse(login)?;
        let found = by_login(store, &login).await?;
        let (account, version) =
            found.ok_or_else(|| AccountsError::NoSuchAccount(login.as_str().to_owned()))?;
        let credentials = account.credentials.wrapping_add(1);
        let account = Account { disabled, credentials, ..account };
        if store.put_records(vec![account.to_put(version)]).await? {
            Ok(account)
        } else {
            Err(AccountsError::Conflict)
        }
    }
}
