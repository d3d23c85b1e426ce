//! SIGKILL under load: every acknowledged write is there, each whole, with its event and its ticket (INV-7).

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use perennial_core::write::{Applied, FeedPosition, TicketChange, Write};
use perennial_core::{RowVersion, UnixMillis};
use perennial_store::Store;
use perennial_testkit::{Seed, cases};

use super::{bear, child, childs_folder, open, runtime, shared};
use crate::sample::{self, sid};

const ROWS: u32 = 24;

#[test]
fn every_acknowledged_write_is_there_after_a_kill() {
    let seed = Seed::announce();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut acknowledged = BTreeMap::new();
    for round in 0..cases(6) {
        let acks = seed.nth(round.into()).rng().below(3_000);
        kill_under_load(folder.path(), acks, &mut acknowledged);
        runtime().block_on(check(folder.path(), &acknowledged, round));
    }
    assert!(!acknowledged.is_empty(), "the load was acknowledged");
}

/// Kills a process that writes, once it has acknowledged `acks` writes; notes all that it acknowledged.
fn kill_under_load(folder: &Path, acks: u64, acknowledged: &mut BTreeMap<u32, u32>) {
    let mut writing = child("survival::crash::a_process_that_writes_until_it_is_killed", folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let out = BufReader::new(writing.stdout.take().expect("piped"));
    let mut seen = 0;
    let mut killed = false;
    for line in out.lines() {
        let line = line.expect("text");
        let Some((row, version)) = line.strip_prefix("ack ").and_then(|ack| ack.split_once(' ')) else {
            continue;
        };
        // The last line may be cut off by the kill: then nothing was said.
        let (Ok(row), Some(version)) = (row.parse(), version.strip_suffix('.')) else { continue };
        acknowledged.insert(row, version.parse().expect("a number"));
        seen += 1;
        if seen >= acks && !killed {
            writing.kill().expect("killed");
            killed = true;
        }
    }
    let status = writing.wait().expect("gone");
    assert!(killed && !status.success(), "it wrote until it was killed: {status}");
}

async fn check(folder: &Path, acknowledged: &BTreeMap<u32, u32>, round: u32) {
    let store = open(folder);
    let mut events: BTreeMap<_, u32> = BTreeMap::new();
    let mut after = FeedPosition(0);
    loop {
        let page = store.events(after, u16::MAX).await.expect("events");
        let Some(newest) = page.last() else { break };
        after = newest.position;
        for event in page {
            *events.entry(event.sid).or_default() += 1;
        }
    }
    for row in 0..ROWS {
        let acked = acknowledged.get(&row).copied();
        let Some(session) = store.session(sid(row)).await.expect("undamaged") else {
            assert_eq!(acked, None, "round {round}: row {row} was acknowledged");
            assert_eq!(events.get(&sid(row)), None, "round {round}: no event without its change");
            continue;
        };
        let RowVersion(version) = session.hot.version;
        assert!(
            acked.is_none_or(|acked| version >= acked),
            "round {round}: row {row}: {acked:?} > {version}"
        );
        assert_eq!(
            events.get(&sid(row)),
            Some(&(version + 1)),
            "round {round}: row {row}: an event for each"
        );
        for (version, there) in [(version, version > 0), (version + 1, false)] {
            let ticket = store.ticket(&sample::key(&format!("{row}-{version}"))).await.expect("ticket");
            assert_eq!(ticket.is_some(), there, "round {round}: row {row}: its ticket at {version}");
        }
    }
    store.close().await;
}

#[test]
#[ignore = "runs in a process of its own, for every_acknowledged_write_is_there_after_a_kill"]
fn a_process_that_writes_until_it_is_killed() {
    let Some(folder) = childs_folder() else { return };
    runtime().block_on(async {
        let store = shared(open(&folder));
        let mut writers = tokio::task::JoinSet::new();
        for row in 0..ROWS {
            writers.spawn(write_forever(Arc::clone(&store), row));
        }
        writers.join_all().await;
    });
}

async fn write_forever(store: Arc<dyn Store>, row: u32) {
    let mut standing = match store.session(sid(row)).await.expect("read") {
        Some(session) => session,
        None => bear(store.as_ref(), row).await,
    };
    loop {
        let version = standing.hot.version.next();
        let ticket = sample::ticket(&format!("{row}-{}", version.0));
        let ticket = perennial_core::write::Ticket { expires_at: UnixMillis(u64::MAX), ..ticket };
        let write =
            Write { ticket: Some(TicketChange::Put(ticket)), ..sample::rotation(sid(row), &standing) };
        let after = sample::after(&write, &standing);
        let answer = store.apply(write).await.expect("apply");
        assert!(matches!(answer, Applied::Applied(_)), "nobody else writes this row: {answer:?}");
        let line = format!("ack {row} {}.\n", version.0);
        std::io::stdout().write_all(line.as_bytes()).expect("somebody reads");
        standing = after;
    }
}
