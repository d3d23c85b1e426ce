//! Data folders that are not to be opened: each says what is wrong and what to do, and is left as it was.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use perennial_store::sqlite::{Options, SqliteStore};
use perennial_store::{OpenError, Store as _};

use super::{bear, child, childs_folder, open, raw, runtime, version};

fn refused(folder: &Path) -> OpenError {
    SqliteStore::open(folder, Options::default()).expect_err("refused")
}

#[test]
fn a_folder_is_made_for_its_owner_alone_where_its_parent_exists() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let folder = parent.path().join("data");
    drop(open(&folder));
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("perennial.db")), 0o600);
    assert_eq!(mode(&folder.join("lock")), 0o600);
}

#[test]
fn a_folder_without_a_parent_is_missing() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let error = refused(&parent.path().join("no/data"));
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    assert!(error.to_string().contains("choose another with --data"), "{error}");
}

#[test]
fn a_file_in_its_place_and_a_folder_that_takes_no_files_are_not_writable() {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let file = parent.path().join("data");
    fs::write(&file, "a file").expect("written");
    // Permissions do not bind root; nobody makes files in /proc.
    for folder in [file.as_path(), Path::new("/proc/self")] {
        let error = refused(folder);
        assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
    }
    assert_eq!(fs::read_to_string(&file).expect("still there"), "a file");
}

#[test]
fn a_second_opener_in_the_same_process_is_refused_and_told_who_holds_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = open(folder.path());
    for _ in 0..2 {
        let error = refused(folder.path());
        let expected = format!("in use by process {} since 2", std::process::id());
        assert!(error.to_string().contains(&expected), "{error}");
    }
    runtime().block_on(async {
        bear(&first, 1).await;
        first.close().await;
    });
    let second = open(folder.path());
    assert!(runtime().block_on(version(&second, 1)).is_some());
}

#[test]
fn a_second_opener_in_another_process_is_refused_and_told_who_holds_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = open(folder.path());
    let second = child("survival::folder::a_process_that_opens", folder.path()).output().expect("runs");
    let said = String::from_utf8_lossy(&second.stdout);
    let expected = format!("in use by process {} since 2", std::process::id());
    assert!(said.contains("refused: ") && said.contains(&expected), "{said}");
    drop(first);
    let third = child("survival::folder::a_process_that_opens", folder.path()).output().expect("runs");
    assert!(String::from_utf8_lossy(&third.stdout).contains("opened"), "{third:?}");
}

#[test]
#[ignore = "runs in a process of its own, for a_second_opener_in_another_process_is_refused"]
fn a_process_that_opens() {
    let Some(folder) = childs_folder() else { return };
    match SqliteStore::open(&folder, Options::default()) {
        Ok(_) => println!("opened"),
        Err(error) => println!("refused: {error}"),
    }
}

#[test]
fn a_newer_schema_is_refused_with_both_numbers_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    drop(open(folder.path()));
    raw(folder.path()).pragma_update(None, "user_version", 99).expect("set");
    for _ in 0..2 {
        let error = refused(folder.path());
        assert!(matches!(error, OpenError::Newer { found: 99, known: 1, .. }), "{error}");
    }
    let found: u32 =
        raw(folder.path()).pragma_query_value(None, "user_version", |row| row.get(0)).expect("read");
    assert_eq!(found, 99);
}

#[test]
fn what_is_no_database_or_anothers_is_damaged_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = folder.path().join("perennial.db");
    let header_only = [b"SQLite format 3\0".as_slice(), &[0xff; 4_000]].concat();
    for garbage in [b"not a database".to_vec(), vec![0; 8_192], header_only] {
        fs::write(&database, &garbage).expect("written");
        let error = refused(folder.path());
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert_eq!(fs::read(&database).expect("there"), garbage);
    }
    fs::remove_file(&database).expect("removed");
    raw(folder.path())
        .execute_batch("PRAGMA application_id = 7; PRAGMA user_version = 1; CREATE TABLE t (a)")
        .expect("another program's");
    let error = refused(folder.path());
    assert!(error.to_string().contains("another program"), "{error}");
}

#[test]
fn a_database_that_lost_its_end_is_refused_or_damaged_never_wrong() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    runtime().block_on(async {
        let store = open(folder.path());
        for n in 0..200 {
            bear(&store, n).await;
        }
        store.close().await;
    });
    let database = folder.path().join("perennial.db");
    let whole = fs::read(&database).expect("there");
    for keep in [100, 4_096, 5_000, 8_192, whole.len() / 2, whole.len() - 4_096, whole.len() - 1] {
        fs::write(&database, &whole[..keep]).expect("written");
        let opened = SqliteStore::open(folder.path(), Options::default());
        let Ok(store) = opened else { continue };
        runtime().block_on(async {
            for n in 0..200 {
                if let Ok(Some(session)) = store.session(crate::sample::sid(n)).await {
                    assert_eq!(session, crate::sample::session("ada", "notes"));
                }
            }
            store.close().await;
        });
    }
}
