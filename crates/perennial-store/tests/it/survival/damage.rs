//! Bits that flip and logs that are cut: shown, for the row that they hit alone, and never wrong.

use std::fs;
use std::path::Path;

use perennial_core::ServiceMillis;
use perennial_core::write::Applied;
use perennial_store::sqlite::{Options, SqliteStore};
use perennial_store::{PutRecord, RecordKind, SessionsOf, Store as _, StoreError};
use perennial_testkit::{Seed, cases};

use super::{bear, open, raw, rotate, runtime, version};
use crate::sample::{self, sid};

fn flip(bytes: &mut [u8], bit: usize) {
    bytes[bit / 8] ^= 1 << (bit % 8);
}

/// Flips one bit of a blob, as the disk would: the engine is not asked.
fn flip_in(folder: &Path, table: &str, column: &str, condition: &str, bit: usize) {
    let database = raw(folder);
    let select = format!("SELECT {column} FROM {table} WHERE {condition}");
    let mut blob: Vec<u8> = database.query_row(&select, [], |row| row.get(0)).expect("the row");
    let bit = bit % (blob.len() * 8);
    flip(&mut blob, bit);
    let update = format!("UPDATE {table} SET {column} = ?1 WHERE {condition}");
    database.execute(&update, [blob]).expect("written");
}

#[test]
fn a_flipped_bit_in_a_row_damages_that_session_alone() {
    let seed = Seed::announce();
    let mut rng = seed.rng();
    let folder = tempfile::tempdir().expect("a temporary folder");
    runtime().block_on(async {
        let store = open(folder.path());
        for n in 0..3 {
            let born = bear(&store, n).await;
            rotate(&store, n, &born).await;
        }
        store.close().await;
        for (table, column) in [("hot", "record"), ("grants", "body")].repeat(cases(8) as usize) {
            let high = i64::from_be_bytes(*sid(1).0.first_chunk().expect("16 bytes"));
            let (condition, bit) = (format!("sid_high = {high}"), rng.index(1 << 20));
            flip_in(folder.path(), table, column, &condition, bit);
            let store = open(folder.path());
            let damaged = store.session(sid(1)).await;
            assert!(matches!(damaged, Err(StoreError::Damaged { .. })), "{table} bit {bit}: {damaged:?}");
            let listed = store.sessions(SessionsOf::All, None, 9).await.expect("the others are listed");
            assert_eq!(listed.iter().map(|(sid, _)| *sid).collect::<Vec<_>>(), [sid(0), sid(2)]);
            for n in [0, 2] {
                let standing = store.session(sid(n)).await.expect("undamaged").expect("there");
                rotate(&store, n, &standing).await;
            }
            let conflict = store.apply(sample::birth(sid(1), &sample::session("ada", "notes"))).await;
            assert!(matches!(conflict, Err(StoreError::Damaged { .. })), "{conflict:?}");
            store.close().await;
            flip_in(folder.path(), table, column, &condition, bit);
        }
        assert!(version(&open(folder.path()), 1).await.is_some(), "flipped back, it is as it was");
    });
}

#[test]
fn a_damaged_row_costs_those_who_commit_with_it_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    runtime().block_on(async {
        let store = open(folder.path());
        for n in 0..8 {
            bear(&store, n).await;
        }
        store.close().await;
        flip_in(folder.path(), "hot", "record", &format!("rowid = {}", high(3)), 99);
        let store = open(folder.path());
        let born = sample::session("ada", "notes");
        let asked = (0..8).map(|n| {
            // A second birth meets the standing row and must read it.
            store.apply(if n == 3 { sample::birth(sid(n), &born) } else { sample::rotation(sid(n), &born) })
        });
        for (n, answer) in futures_util::future::join_all(asked).await.into_iter().enumerate() {
            match answer {
                Ok(Applied::Applied(_)) => assert_ne!(n, 3),
                Err(StoreError::Damaged { .. }) => assert_eq!(n, 3),
                other => panic!("row {n}: {other:?}"),
            }
        }
    });
}

fn high(n: u32) -> i64 {
    i64::from_be_bytes(*sid(n).0.first_chunk().expect("16 bytes"))
}

#[test]
fn a_flipped_bit_in_a_ticket_record_or_the_clock_shows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    runtime().block_on(async {
        let store = open(folder.path());
        store.put_ticket(sample::ticket("t")).await.expect("put");
        let put = PutRecord { kind: RecordKind::Key, key: "k".into(), expect: 0, body: b"wrapped".to_vec() };
        assert!(store.put_records(vec![put]).await.expect("put"));
        store.keep_service_clock(ServiceMillis(1_000)).await.expect("kept");
        store.close().await;
        flip_in(folder.path(), "tickets", "payload", "true", 5);
        flip_in(folder.path(), "records", "body", "true", 5);
        raw(folder.path()).execute("UPDATE service_clock SET at = at + 4096", []).expect("written");
        let store = open(folder.path());
        assert!(matches!(store.ticket(&sample::key("t")).await, Err(StoreError::Damaged { .. })));
        assert!(matches!(store.consume_ticket(&sample::key("t")).await, Err(StoreError::Damaged { .. })));
        assert!(matches!(store.record(RecordKind::Key, "k").await, Err(StoreError::Damaged { .. })));
        assert!(matches!(store.service_clock().await, Err(StoreError::Damaged { .. })));
        bear(&store, 1).await;
    });
}

#[test]
fn bits_flipped_anywhere_in_the_file_never_give_a_wrong_session() {
    let seed = Seed::announce();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = folder.path().join("perennial.db");
    let mut written = Vec::new();
    runtime().block_on(async {
        let store = open(folder.path());
        for n in 0..60 {
            let born = bear(&store, n).await;
            written.push(rotate(&store, n, &born).await);
        }
        store.close().await;
    });
    let whole = fs::read(&database).expect("there");
    for case in 0..cases(40) {
        let mut rng = seed.nth(case.into()).rng();
        let mut flipped = whole.clone();
        for _ in 0..=rng.index(4) {
            flip(&mut flipped, rng.index(whole.len() * 8));
        }
        fs::write(&database, &flipped).expect("written");
        let Ok(store) = SqliteStore::open(folder.path(), Options::default()) else { continue };
        runtime().block_on(async {
            for (n, written) in (0..).zip(&written) {
                if let Ok(Some(session)) = store.session(sid(n)).await {
                    assert_eq!(&session, written, "case {case} of seed {seed}");
                }
            }
            store.close().await;
        });
    }
}

#[test]
fn a_log_cut_anywhere_opens_with_all_that_was_acknowledged_before_the_cut() {
    let seed = Seed::announce();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("perennial.db-wal");
    // After which length of the log which version of the row had been acknowledged.
    let mut acknowledged = Vec::new();
    let copies = tempfile::tempdir().expect("a temporary folder");
    runtime().block_on(async {
        let store = open(folder.path());
        let mut standing = bear(&store, 1).await;
        for _ in 0..30 {
            acknowledged.push((fs::metadata(&log).expect("the log").len(), standing.hot.version));
            standing = rotate(&store, 1, &standing).await;
        }
        // As a crash leaves them: the store is still open.
        for file in ["perennial.db", "perennial.db-wal"] {
            fs::copy(folder.path().join(file), copies.path().join(file)).expect("copied");
        }
    });
    let (database, log) = (copies.path().join("perennial.db"), copies.path().join("perennial.db-wal"));
    let whole = (fs::read(&database).expect("there"), fs::read(&log).expect("there"));
    let mut rng = seed.rng();
    let random = (0..cases(30)).map(|_| rng.index(whole.1.len()));
    let edges = acknowledged.iter().map(|(len, _)| usize::try_from(*len).expect("fits"));
    let edges: Vec<usize> = edges.flat_map(|len| [len - 1, len, len + 1]).collect();
    for cut in [0, 1, 31, 32, 33].into_iter().chain(edges).chain(random) {
        fs::write(&database, &whole.0).expect("written");
        fs::write(&log, &whole.1[..cut]).expect("written");
        let due =
            acknowledged.iter().filter(|(len, _)| *len <= cut as u64).map(|(_, version)| *version).max();
        runtime().block_on(async {
            let store = open(copies.path());
            assert!(version(&store, 1).await >= due, "cut at {cut}: {due:?} was acknowledged, seed {seed}");
            store.close().await;
        });
    }
}
