//! The accounts, as commands and pages use them.

use perennial_core::UnixMillis;
use perennial_server::accounts::{Accounts, AccountsError, NewAccount};
use perennial_store::memory::MemoryStore;

fn new(login: &str, password: &str) -> NewAccount {
    NewAccount { login: login.to_owned(), name: None, email: None, password: password.to_owned().into() }
}

#[tokio::test]
async fn a_login_is_taken_once_however_it_is_written() {
    let (accounts, store) = (Accounts::new(1), MemoryStore::default());
    let ada = accounts.add(&store, new(" Ada ", "a long password"), UnixMillis(1)).await.unwrap();
    assert_eq!(ada.login, "ada");
    assert_eq!(ada.subject.as_str().len(), 22);
    let taken = accounts.add(&store, new("ADA", "another password"), UnixMillis(1)).await;
    assert!(matches!(taken, Err(AccountsError::LoginTaken(login)) if login == "ada"));
    let both = tokio::join!(
        accounts.add(&store, new("grace", "a long password"), UnixMillis(1)),
        accounts.add(&store, new("Grace", "a long password"), UnixMillis(1)),
    );
    assert_eq!(u8::from(both.0.is_ok()) + u8::from(both.1.is_ok()), 1);
}

#[tokio::test]
async fn what_cannot_be_an_account_is_said_in_one_line() {
    let (accounts, store) = (Accounts::new(1), MemoryStore::default());
    for (login, password) in [
        ("", "a long password"),
        ("  ", "a long password"),
        (&*"x".repeat(129), "a long password"),
        ("a\nb", "a long password"),
        ("ada", "1234567"),
        ("ada", &"x".repeat(1025)),
    ] {
        let error = accounts.add(&store, new(login, password), UnixMillis(1)).await.unwrap_err();
        assert!(!error.is_retriable());
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    let error = accounts.set_password(&store, "nobody", "a long password").await.unwrap_err();
    assert!(matches!(error, AccountsError::NoSuchAccount(_)), "{error}");
    assert!(accounts.list(&store, None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_new_password_takes_the_place_of_the_old_one() {
    let (accounts, store) = (Accounts::new(1), MemoryStore::default());
    let ada = accounts.add(&store, new("ada", "a long password"), UnixMillis(1)).await.unwrap();
    assert_eq!(accounts.authenticate(&store, "ada", "a long password").await.unwrap(), Some(ada.clone()));
    let changed = accounts.set_password(&store, "Ada", "a longer password").await.unwrap();
    assert_eq!(changed.subject, ada.subject);
    assert_eq!(accounts.authenticate(&store, "ada", "a long password").await.unwrap(), None);
    assert_eq!(
        accounts.authenticate(&store, "ada", "a longer password").await.unwrap(),
        Some(changed.clone())
    );
    assert_eq!(accounts.by_subject(&store, &ada.subject).await.unwrap(), Some(changed));
}

#[tokio::test]
async fn accounts_are_listed_by_login_a_slice_at_a_time() {
    let (accounts, store) = (Accounts::new(1), MemoryStore::default());
    for login in ["mary", "ada", "grace"] {
        accounts.add(&store, new(login, "a long password"), UnixMillis(1)).await.unwrap();
    }
    let logins = |accounts: Vec<perennial_server::accounts::Account>| -> Vec<String> {
        accounts.into_iter().map(|account| account.login).collect()
    };
    assert_eq!(logins(accounts.list(&store, None, 2).await.unwrap()), ["ada", "grace"]);
    assert_eq!(logins(accounts.list(&store, Some("grace"), 2).await.unwrap()), ["mary"]);
}

#[tokio::test]
async fn an_account_does_not_print_its_hash() {
    let (accounts, store) = (Accounts::new(1), MemoryStore::default());
    let ada = accounts.add(&store, new("ada", "a long password"), UnixMillis(1)).await.unwrap();
    assert!(!format!("{ada:?}").contains("argon2id"), "{ada:?}");
}
