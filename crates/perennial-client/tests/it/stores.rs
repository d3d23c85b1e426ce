//! The credential file: whole or untouched, private, and never overwritten when damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use perennial_client::{Credentials, FileStore, Phase, Secret, Session, SessionOptions, Store, StoreFailure};

use crate::fake_server::FakeServer;

fn credentials() -> Credentials {
    Credentials::from_refresh_token("https://id", "app", "https://id/token", Secret::from("rt-secret"))
}

fn write(store: &FileStore, credentials: &Credentials) -> Result<(), StoreFailure> {
    let lock = store.lock()?;
    store.write(&lock, credentials)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn file_is_private_and_reads_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::at(folder.path().join("state/perennial/default.json"));
    assert_eq!(store.read(None), Ok(None));
    write(&store, &credentials()).unwrap();
    assert_eq!(store.read(None), Ok(Some(credentials())));
    assert_eq!(mode(store.path()), 0o600);
    assert_eq!(mode(store.path().parent().unwrap()), 0o700);
    assert_eq!(mode(&folder.path().join("state/perennial/default.json.lock")), 0o600);
}

#[test]
fn file_torn_at_any_byte_is_moved_aside_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::at(folder.path().join("default.json"));
    write(&store, &credentials()).unwrap();
    let whole = fs::read(store.path()).unwrap();
    for length in 0..whole.len() {
        fs::write(store.path(), &whole[..length]).unwrap();
        let Err(StoreFailure::Corrupt { moved_to, .. }) = store.read(None) else {
            panic!("torn at {length} and not noticed");
        };
        assert_eq!(fs::read(&moved_to).unwrap(), &whole[..length], "kept as it was");
        assert!(!store.path().exists());
        fs::remove_file(moved_to).unwrap();
    }
}

#[test]
fn file_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::at(folder.path().join("default.json"));
    fs::write(store.path(), "{\"version\":2,\"what\":\"ever\"}").unwrap();
    assert!(matches!(store.read(None), Err(StoreFailure::Newer { .. })));
    assert!(store.path().exists());
}

#[test]
fn write_that_fails_leaves_the_old_value() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::at(folder.path().join("default.json"));
    write(&store, &credentials()).unwrap();
    // Nothing can be written where a folder is in the way, whoever runs the test.
    fs::create_dir(folder.path().join("default.json.new")).unwrap();
    let newer = Credentials::signed_out("https://id", "app", "https://id/token");
    let error = write(&store, &newer).unwrap_err();
    assert!(error.to_string().contains("default.json cannot be written"), "{error}");
    assert_eq!(store.read(None), Ok(Some(credentials())));
}

#[test]
fn leftover_of_a_crash_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::at(folder.path().join("default.json"));
    fs::write(folder.path().join("default.json.new"), "{\"half").unwrap();
    write(&store, &credentials()).unwrap();
    assert_eq!(store.read(None), Ok(Some(credentials())));
    assert_eq!(mode(store.path()), 0o600);
}

#[test]
fn profile_names_cannot_leave_the_folder() {
    for name in ["", "..", "../x", "a/b", ".hidden", "a\0b", "ü"] {
        assert!(FileStore::for_profile(name).is_err(), "{name:?}");
    }
}

#[test]
fn secrets_do_not_show_in_debug() {
    let text = format!("{:?}", credentials());
    assert!(!text.contains("rt-secret"), "{text}");
}

#[tokio::test]
async fn store_that_cannot_be_written_sends_nothing_and_keeps_serving() {
    let server = FakeServer::start(600).await;
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::at(folder.path().join("default.json"));
    write(&store, &server.imported()).unwrap();
    let session = Session::open(Arc::new(store.clone()), SessionOptions::default()).await.unwrap();
    let first = session.token().await.unwrap();
    fs::create_dir(folder.path().join("default.json.new")).unwrap();
    let wants_another = tokio::spawn({
        let session = session.clone();
        async move { session.token_instead_of(&first).await.unwrap() }
    });
    let mut states = session.state();
    let troubled = states.wait_for(|state| state.trouble.is_some()).await.unwrap().clone();
    assert!(troubled.trouble.unwrap().to_string().contains("cannot be written"));
    assert_eq!(session.token().await.unwrap().expose(), "at-1");
    assert_eq!(server.model().refreshes, 1, "nothing leaves before its key is stored");
    fs::remove_dir(folder.path().join("default.json.new")).unwrap();
    assert_eq!(wants_another.await.unwrap().expose(), "at-2");
    assert_eq!(states.wait_for(|state| state.trouble.is_none()).await.unwrap().phase, Phase::Fresh);
}
