//! Too much asked, a disk that is full, a disk that fails: nothing is acknowledged that is not there, nobody waits
//! for ever, and it goes on by itself.

use std::process::Command;

use futures_util::future::join_all;
use perennial_core::SessionId;
use perennial_core::write::{Applied, Ticket};
use perennial_store::sqlite::{Options, SqliteStore};
use perennial_store::{Store as _, StoreError};

use super::{CHILD_FOLDER, bear, childs_folder, open, raw, rotate, runtime, version};
use crate::sample::{self, sid};

#[test]
fn more_than_the_queue_takes_is_refused_at_once_and_the_rest_is_done() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = Options { queue: 16, batch: 4, ..Options::default() };
    runtime().block_on(async {
        let store = SqliteStore::open(folder.path(), options).expect("opens");
        for n in 0..200 {
            bear(&store, n).await;
        }
        // Somebody's sqlite3 keeps the writer waiting, so that nothing leaves the queue.
        let busy = raw(folder.path());
        busy.execute_batch("BEGIN IMMEDIATE").expect("begun");
        let born = sample::session("ada", "notes");
        let mut refused = 0;
        let asked = (0..200).map(|n| store.apply(sample::rotation(sid(n), &born)));
        let mut waiting: futures_util::stream::FuturesUnordered<_> = asked.collect();
        while refused < 200 - 16 - 4 {
            let answer = futures_util::StreamExt::next(&mut waiting).await.expect("they are many");
            assert!(matches!(answer, Err(StoreError::Overloaded)), "{answer:?}");
            refused += 1;
        }
        busy.execute_batch("ROLLBACK").expect("let go");
        let mut applied = 0;
        while let Some(answer) = futures_util::StreamExt::next(&mut waiting).await {
            match answer {
                Ok(Applied::Applied(_)) => applied += 1,
                Err(StoreError::Overloaded) => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(applied >= 16 && applied + refused == 200, "{applied} applied, {refused} refused");
        let mut rotated = 0;
        for n in 0..200 {
            rotated += version(&store, n).await.expect("there").0;
        }
        assert_eq!(rotated, applied);
    });
}

#[test]
fn a_birth_too_close_to_another_is_refused_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    runtime().block_on(async {
        let store = open(folder.path());
        let born = bear(&store, 0).await;
        let mut close = sid(0);
        close.0[15] ^= 1;
        let births = [sid(1), close, sid(2)].map(|sid: SessionId| store.apply(sample::birth(sid, &born)));
        let answers = join_all(births).await;
        assert!(matches!(
            &answers[..],
            [Ok(Applied::Applied(_)), Err(StoreError::SidTaken), Ok(Applied::Applied(_))]
        ));
        assert_eq!(store.session(close).await.expect("read"), None, "its neighbour is not taken for it");
        let rotation = store.apply(sample::rotation(close, &born)).await;
        assert!(matches!(rotation, Ok(Applied::Absent)), "{rotation:?}");
    });
}

fn large(name: u32) -> Ticket {
    Ticket { payload: vec![1; 20_000], ..sample::ticket(&name.to_string()) }
}

#[test]
fn a_full_store_refuses_changes_answers_reads_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = Options { max_bytes: Some(1 << 20), ..Options::default() };
    runtime().block_on(async {
        let store = SqliteStore::open(folder.path(), options).expect("opens");
        let born = bear(&store, 1).await;
        let mut laid = 0;
        let full = loop {
            match store.put_ticket(large(laid)).await {
                Ok(()) => laid += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(full, StoreError::Full) && full.is_retriable(), "{full:?}");
        assert!(laid > 20, "only {laid} fitted");
        let waiting = join_all((0..50).map(|n| store.put_ticket(large(1_000 + n)))).await;
        assert!(
            waiting.iter().all(|answer| matches!(answer, Err(StoreError::Full))),
            "all who wait are told"
        );
        assert_eq!(store.session(sid(1)).await.expect("read"), Some(born.clone()));
        for n in 0..laid {
            assert_eq!(store.ticket(&large(n).key).await.expect("read"), Some(large(n)));
        }
        for n in 0..10 {
            assert!(store.consume_ticket(&large(n).key).await.expect("consume").is_some());
        }
        rotate(&store, 1, &born).await;
        store.put_ticket(large(0)).await.expect("there is room again");
    });
}

/// A process whose files may not grow beyond 2 MiB: each write past it fails (EFBIG), as on a failing disk. The
/// shell ignores SIGXFSZ for it, and the limit is a soft one, so that it can be lifted.
#[test]
fn a_failing_disk_acknowledges_nothing_and_the_store_goes_on_when_it_works_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let limited = "trap '' XFSZ; ulimit -S -f 4096; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().expect("this binary"))
        .args(["--exact", "survival::pressure::a_process_on_a_failing_disk", "--ignored", "--nocapture"])
        .env(CHILD_FOLDER, folder.path())
        .output()
        .expect("runs");
    let said = [output.stdout, output.stderr].map(|out| String::from_utf8_lossy(&out).into_owned()).concat();
    assert!(output.status.success() && said.contains("it went on"), "{said}");
}

#[test]
#[ignore = "runs in a process of its own, for a_failing_disk_acknowledges_nothing"]
fn a_process_on_a_failing_disk() {
    let Some(folder) = childs_folder() else { return };
    runtime().block_on(async {
        let store = open(&folder);
        let mut standing = Vec::new();
        for n in 0..40 {
            standing.push(bear(&store, n).await);
        }
        let mut failed = 0;
        while failed < 100 {
            let asked = (0..).zip(&standing).map(|(n, read)| store.apply(sample::rotation(sid(n), read)));
            let answers = join_all(asked).await;
            for (n, answer) in answers.into_iter().enumerate() {
                match answer {
                    Ok(Applied::Applied(_)) => {
                        let write = sample::rotation(sid(0), &standing[n]);
                        standing[n] = sample::after(&write, &standing[n]);
                    }
                    Err(StoreError::Unavailable(_) | StoreError::Full) => failed += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
        for (n, standing) in (0..).zip(&standing) {
            assert_eq!(store.session(sid(n)).await.expect("reads go on").as_ref(), Some(standing));
        }
        let pid = std::process::id().to_string();
        let lifted = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
        assert!(lifted.expect("util-linux is there").success());
        for (n, standing) in (0..).zip(&mut standing) {
            *standing = rotate(&store, n, standing).await;
        }
        store.close().await;
        let store = open(&folder);
        for (n, standing) in (0..).zip(&standing) {
            assert_eq!(store.session(sid(n)).await.expect("read").as_ref(), Some(standing));
        }
        println!("it went on");
    });
}
