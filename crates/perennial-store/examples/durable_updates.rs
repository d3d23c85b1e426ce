//! How many durable updates the embedded engine does, what each costs, and how long it takes.
//!
//! `cargo run --release -p perennial-store --example durable_updates`, with `ROWS` (1,000,000), `SECONDS` (10) and
//! `IN_FLIGHT` (256) in the environment, and the folder to work in as its argument (a fresh one here by default).
//!
//! An update is a rotation: the hot row and its event in one commit, acknowledged when it is durable.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use perennial_core::session::{Birth, Grant, Hot, Reason, Session, SessionSecret};
use perennial_core::write::{Applied, Durability, Event, Expect, Write};
use perennial_core::{
    ContinuityId, Generation, Now, RowVersion, Scopes, ServiceMillis, SessionId, UnixMillis,
};
use perennial_store::Store;
use perennial_store::sqlite::{Options, SqliteStore};
use tokio::task::JoinSet;

const BORN: UnixMillis = UnixMillis(1_750_000_000_000);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rows = number("ROWS", 1_000_000)?;
    let seconds = number("SECONDS", 10)?;
    let in_flight = number("IN_FLIGHT", 256)?.min(rows);
    let parent = tempfile::tempdir_in(".")?;
    let folder = std::env::args_os().nth(1).map_or_else(|| parent.path().join("data"), PathBuf::from);

    let store = Arc::new(SqliteStore::open(&folder, Options::default())?);
    let born = Instant::now();
    births(&store, rows, in_flight).await;
    println!("{rows} births: {:.0} a second", f64::from(rows) / born.elapsed().as_secs_f64());
    store.close().await;
    println!("{} bytes a session on disk", size(&folder.join("perennial.db")) / u64::from(rows));

    let opening = Instant::now();
    let store = Arc::new(SqliteStore::open(&folder, Options::default())?);
    println!("opened in {:.1} ms", opening.elapsed().as_secs_f64() * 1e3);
    println!("{in_flight} in flight, for {seconds} s each:");
    for reads in [Reads::None, Reads::Before] {
        measure(&store, &folder, Load { rows, in_flight, seconds, reads }).await;
    }
    store.close().await;
    Ok(())
}

#[derive(Clone, Copy)]
struct Load {
    rows: u32,
    in_flight: u32,
    seconds: u32,
    reads: Reads,
}

/// Whether an update reads the session first, as a refresh does. What does not read must come first.
#[derive(Clone, Copy)]
enum Reads {
    None,
    Before,
}

async fn measure(store: &Arc<SqliteStore>, folder: &Path, load: Load) {
    let stop = Arc::new(AtomicBool::new(false));
    let (before, writer_before) = (cpu_of("self/stat"), cpu_of_writer());
    let start = Instant::now();
    let mut updaters = JoinSet::new();
    for number in 0..load.in_flight {
        updaters.spawn(update(Arc::clone(store), load, number, Arc::clone(&stop)));
    }
    let mut largest_log = 0;
    while start.elapsed() < Duration::from_secs(load.seconds.into()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        largest_log = largest_log.max(size(&folder.join("perennial.db-wal")));
    }
    stop.store(true, Ordering::Relaxed);
    let mut took: Vec<Duration> = updaters.join_all().await.into_iter().flatten().collect();
    let elapsed = start.elapsed().as_secs_f64();
    let (cpu, writer_cpu) = (cpu_of("self/stat") - before, cpu_of_writer() - writer_before);
    took.sort_unstable();
    let updates = u32::try_from(took.len()).expect("fewer than 4 billion");
    let at = |share: usize| took[(took.len() - 1) * share / 1000].as_secs_f64() * 1e3;
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / f64::from(updates);
    let kind = match load.reads {
        Reads::None => "updates",
        Reads::Before => "reads, each with its update",
    };
    println!(
        "{:.0} {kind} a second; CPU for each {:.1} µs, {:.1} µs of it in the writer; \
         p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, worst {:.1} ms; log up to {} MB",
        f64::from(updates) / elapsed,
        each(cpu),
        each(writer_cpu),
        at(500),
        at(990),
        at(999),
        at(1000),
        largest_log >> 20,
    );
}

/// Updates rows of its own, in no order, until told to stop; says how long each took.
async fn update(store: Arc<SqliteStore>, load: Load, number: u32, stop: Arc<AtomicBool>) -> Vec<Duration> {
    let own = (load.rows - number).div_ceil(load.in_flight);
    // Each row was just born, so its version is known to who does not read it.
    let mut versions = vec![RowVersion(0); own as usize];
    let mut took = Vec::new();
    let hot = session().hot;
    let mut next = number;
    while !stop.load(Ordering::Relaxed) {
        // A multiplicative walk: no order that pages could profit from.
        next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let place = next % own;
        let sid = sid(place * load.in_flight + number);
        let start = Instant::now();
        let version = match load.reads {
            Reads::None => versions[place as usize],
            Reads::Before => {
                let session =
                    store.session(sid).await.expect("the store is there").expect("the row is there");
                session.hot.version
            }
        };
        let answer = store.apply(rotation(sid, version, hot)).await.expect("the store is there");
        assert!(matches!(answer, Applied::Applied(_)), "nobody else writes this row: {answer:?}");
        versions[place as usize] = version.next();
        took.push(start.elapsed());
    }
    took
}

async fn births(store: &Arc<SqliteStore>, rows: u32, in_flight: u32) {
    let mut writers = JoinSet::new();
    for number in 0..in_flight {
        let store = Arc::clone(store);
        writers.spawn(async move {
            for row in (number..rows).step_by(in_flight as usize) {
                let answer = store.apply(birth(sid(row))).await.expect("the store is there");
                assert!(matches!(answer, Applied::Applied(_)), "{answer:?}");
            }
        });
    }
    writers.join_all().await;
}

fn sid(row: u32) -> SessionId {
    let [a, b, c, d] = row.to_be_bytes();
    SessionId::new(BORN.plus(u64::from(row) * 10), [0, 0, a, b, c, d, 7, 7, 7, 7])
}

fn session() -> Session {
    let grant = Grant {
        subject: "b7e0a9d4-4f3e-4f57-9a0e-6d1c1f2c3b4a".into(),
        client: "notes".into(),
        scopes: Scopes::parse("openid offline_access notes").expect("scopes"),
        continuity: ContinuityId::new(BORN, [3; 10]),
        secret: SessionSecret([5; 32]),
        born_at: BORN,
        authenticated_at: BORN,
        acr: "urn:perennial:password".into(),
        absolute_at: BORN.plus(90 * 86_400_000),
        bound_key: None,
    };
    let now = Now { wall: BORN, service: ServiceMillis(1_000) };
    Session::born(grant, Birth { now, code_lifetime_ms: 60_000, policy_version: 1 })
}

fn birth(sid: SessionId) -> Write {
    let Session { mut grant, hot } = session();
    let own = Arc::make_mut(&mut grant);
    own.subject = format!("subject-{sid}").into();
    Write {
        sid,
        expect: Expect::Absent,
        hot,
        grant: Some(grant),
        ticket: None,
        event: event(Reason::Born),
        durability: Durability::Replicated,
    }
}

fn rotation(sid: SessionId, version: RowVersion, hot: Hot) -> Write {
    let hot = Hot { generation: Generation(version.0 + 1), ..hot };
    Write {
        sid,
        expect: Expect::Version(version),
        hot,
        grant: None,
        ticket: None,
        event: event(Reason::Rotated),
        durability: Durability::Local,
    }
}

fn event(reason: Reason) -> Event {
    Event {
        at: BORN,
        reason,
        generation: Generation(1),
        presented: Some(Generation(0)),
        dispute: None,
        evidence: 0,
        request_id: Some("01jx3g9m7f8q2v4k6t0w5z1y3b".into()),
    }
}

fn number(variable: &str, otherwise: u32) -> Result<u32, std::num::ParseIntError> {
    std::env::var(variable).map_or(Ok(otherwise), |text| text.parse())
}

fn size(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |file| file.len())
}

fn cpu_of_writer() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let mut writers = threads.filter(|thread| {
        std::fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.trim() == "store-writer")
    });
    writers
        .next()
        .map_or(Duration::ZERO, |writer| cpu_of(&format!("self/task/{}/stat", writer.file_name().display())))
}

/// CPU time in and for a process or thread: fields 14 and 15 of its `stat`, in hundredths of a second (proc(5)).
fn cpu_of(stat: &str) -> Duration {
    let text = std::fs::read_to_string(Path::new("/proc").join(stat)).unwrap_or_default();
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}
