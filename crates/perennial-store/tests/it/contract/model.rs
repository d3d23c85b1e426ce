//! Random operations get the same answers as from the table in memory.

use std::sync::Arc;

use perennial_core::session::Reason;
use perennial_core::write::{Applied, Expect, FeedPosition, TicketChange, Write};
use perennial_core::{RowVersion, ServiceMillis, Session, SessionId, UnixMillis};
use perennial_store::memory::Table;
use perennial_store::{PutRecord, Record, RecordKind, SessionsOf, Store};
use perennial_testkit::{Seed, cases};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::contract::Fresh;
use crate::sample::{self, sid};

const SUBJECTS: [&str; 3] = ["ada", "bob", "eve"];
const CLIENTS: [&str; 2] = ["notes", "mail"];
const KEYS: [&str; 4] = ["a", "b", "ü", ""];

/// One operation over a small world, so that operations meet.
#[derive(Clone, Debug)]
enum Op {
    Apply { row: u32, on: On, grant: Option<(usize, usize)>, ticket: Option<(bool, usize)> },
    Read { row: u32 },
    Sessions { of: Option<(bool, usize)>, after: Option<u32>, limit: u16 },
    Forget { row: u32, behind: u32 },
    PutTicket { name: usize, expires_at: u64 },
    Ticket { name: usize },
    ConsumeTicket { name: usize },
    Sweep { now: u64, limit: u16 },
    PutRecords { puts: Vec<(usize, usize, u32)> },
    Record { kind: usize, key: usize },
    Records { kind: usize, after: Option<usize>, limit: u16 },
    RemoveRecord { kind: usize, key: usize },
    KeepClock { at: u64 },
    Events { limit: u16 },
}

/// What a write expects, seen from the row as it stands.
#[derive(Clone, Copy, Debug)]
enum On {
    Absent,
    Behind(u32),
}

/// An answer, without the places of events: where those stand is the engine's own business.
#[derive(Debug, PartialEq)]
enum Answer {
    Applied,
    Conflict(Session),
    Absent,
    Consumed,
    Session(Option<Session>),
    Sessions(Vec<(SessionId, Session)>),
    Ticket(Option<perennial_core::write::Ticket>),
    Count(u16),
    Record(Option<Record>),
    Records(Vec<Record>),
    Did(bool),
    Clock(ServiceMillis),
    Events(Vec<(SessionId, perennial_core::write::Event)>),
}

pub(crate) fn answers_as_the_table_in_memory_does<F: Future<Output = Fresh>>(open: impl Fn() -> F) {
    let seed = Seed::announce();
    let config = Config {
        cases: cases(32),
        rng_seed: RngSeed::Fixed(seed.0),
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let went = TestRunner::new(config).run(&prop::collection::vec(op(), 1..60), |ops| {
        runtime.block_on(async {
            let fresh = open().await;
            compare(fresh.store.as_ref(), &ops).await?;
            fresh.store.close().await;
            Ok(())
        })
    });
    if let Err(failure) = went {
        panic!("{failure}\nseed: {seed}");
    }
}

async fn compare(store: &dyn Store, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut table = Table::default();
    let everything = [
        Op::Sessions { of: None, after: None, limit: u16::MAX },
        Op::Events { limit: u16::MAX },
        Op::KeepClock { at: 0 },
    ];
    for op in ops.iter().chain(&everything) {
        let write = write_of(op, &table);
        let expected = of_table(&mut table, op, write.clone());
        let answered = of_store(store, op, write, &table).await;
        prop_assert_eq!(answered, expected, "{:?}", op);
    }
    Ok(())
}

fn op() -> impl Strategy<Value = Op> {
    let row = || 0..5_u32;
    let limit = || prop_oneof![0..4_u16, Just(100)];
    let on =
        prop_oneof![2 => Just(On::Absent), 5 => Just(On::Behind(0)), 1 => (1..3_u32).prop_map(On::Behind)];
    let grant = prop::option::of((0..SUBJECTS.len(), 0..CLIENTS.len()));
    let ticket = prop::option::weighted(0.3, (any::<bool>(), 0..4_usize));
    let puts = prop::collection::vec((0..2_usize, 0..KEYS.len(), 0..3_u32), 1..4);
    prop_oneof![
        8 => (row(), on, grant, ticket).prop_map(|(row, on, grant, ticket)| Op::Apply { row, on, grant, ticket }),
        4 => row().prop_map(|row| Op::Read { row }),
        2 => (prop::option::of((any::<bool>(), 0..2_usize)), prop::option::of(row()), limit())
            .prop_map(|(of, after, limit)| Op::Sessions { of, after, limit }),
        1 => (row(), 0..2_u32).prop_map(|(row, behind)| Op::Forget { row, behind }),
        2 => (0..4_usize, 0..9_u64).prop_map(|(name, expires_at)| Op::PutTicket { name, expires_at }),
        1 => (0..4_usize).prop_map(|name| Op::Ticket { name }),
        1 => (0..4_usize).prop_map(|name| Op::ConsumeTicket { name }),
        1 => (0..9_u64, limit()).prop_map(|(now, limit)| Op::Sweep { now, limit }),
        3 => puts.prop_map(|puts| Op::PutRecords { puts }),
        1 => (0..2_usize, 0..KEYS.len()).prop_map(|(kind, key)| Op::Record { kind, key }),
        1 => (0..2_usize, prop::option::of(0..KEYS.len()), limit())
            .prop_map(|(kind, after, limit)| Op::Records { kind, after, limit }),
        1 => (0..2_usize, 0..KEYS.len()).prop_map(|(kind, key)| Op::RemoveRecord { kind, key }),
        1 => (0..9_u64).prop_map(|at| Op::KeepClock { at }),
        1 => limit().prop_map(|limit| Op::Events { limit }),
    ]
}

/// The write that `op` is, on the row as it stands; none for the other operations.
fn write_of(op: &Op, table: &Table) -> Option<Write> {
    let Op::Apply { row, on, grant, ticket } = op else { return None };
    let standing = table.session(sid(*row)).cloned().unwrap_or_else(|| sample::session("ada", "notes"));
    let expect = match on {
        On::Absent => Expect::Absent,
        On::Behind(by) => Expect::Version(RowVersion(standing.hot.version.0.wrapping_sub(*by))),
    };
    let grant = grant.map(|(subject, client)| Arc::new(sample::grant(SUBJECTS[subject], CLIENTS[client])));
    let ticket = ticket.map(|(lay, name)| {
        if lay {
            TicketChange::Put(sample::ticket(&name.to_string()))
        } else {
            TicketChange::Consume(sample::key(&name.to_string()))
        }
    });
    let rotation = sample::rotation(sid(*row), &standing);
    let reason = Reason::ALL[rotation.hot.generation.0 as usize % Reason::ALL.len()];
    let event = sample::event(reason, rotation.hot.generation.0);
    Some(Write { expect, grant, ticket, event, ..rotation })
}

fn answer_of(applied: Applied) -> Answer {
    match applied {
        Applied::Applied(_) => Answer::Applied,
        Applied::Conflict(session) => Answer::Conflict(*session),
        Applied::Absent => Answer::Absent,
        Applied::Consumed => Answer::Consumed,
    }
}

fn of_table(table: &mut Table, op: &Op, write: Option<Write>) -> Answer {
    match op {
        Op::Apply { .. } => answer_of(table.apply(write.expect("an apply has a write"))),
        Op::Read { row } => Answer::Session(table.session(sid(*row)).cloned()),
        Op::Sessions { of, after, limit } => {
            Answer::Sessions(table.sessions(&whose(*of), after.map(sid), *limit))
        }
        Op::Forget { row, behind } => Answer::Did(match forgotten(table, *row, *behind) {
            Some(session) => table.forget(sid(*row), &session),
            None => false,
        }),
        Op::PutTicket { name, expires_at } => {
            table.put_ticket(ticket(*name, *expires_at));
            Answer::Did(true)
        }
        Op::Ticket { name } => Answer::Ticket(table.ticket(&sample::key(&name.to_string())).cloned()),
        Op::ConsumeTicket { name } => Answer::Ticket(table.consume_ticket(&sample::key(&name.to_string()))),
        Op::Sweep { now, limit } => Answer::Count(table.sweep_tickets(UnixMillis(*now), *limit)),
        Op::PutRecords { puts } => Answer::Did(table.put_records(put_records(puts))),
        Op::Record { kind, key } => Answer::Record(table.record(kind_of(*kind), KEYS[*key]).cloned()),
        Op::Records { kind, after, limit } => {
            Answer::Records(table.records(kind_of(*kind), after.map(|key| KEYS[key]), *limit))
        }
        Op::RemoveRecord { kind, key } => Answer::Did(table.remove_record(kind_of(*kind), KEYS[*key])),
        Op::KeepClock { at } => {
            table.keep_service_clock(ServiceMillis(*at));
            Answer::Clock(table.service_clock())
        }
        Op::Events { limit } => {
            let events = table.events(FeedPosition(0), *limit).iter();
            Answer::Events(events.map(|stored| (stored.sid, stored.event.clone())).collect())
        }
    }
}

/// `table` is as it stands after the operation.
async fn of_store(store: &dyn Store, op: &Op, write: Option<Write>, table: &Table) -> Answer {
    const THERE: &str = "the store is there";
    match op {
        Op::Apply { .. } => answer_of(store.apply(write.expect("an apply has a write")).await.expect(THERE)),
        Op::Read { row } => Answer::Session(store.session(sid(*row)).await.expect(THERE)),
        Op::Sessions { of, after, limit } => {
            Answer::Sessions(store.sessions(whose(*of), after.map(sid), *limit).await.expect(THERE))
        }
        Op::Forget { row, behind } => {
            // The table has forgotten it by now, so the store's own row says what is to be forgotten.
            let standing = store.session(sid(*row)).await.expect(THERE);
            let gone = standing.is_some() && table.session(sid(*row)).is_none();
            let Some(mut session) = standing else { return Answer::Did(false) };
            session.hot.version = RowVersion(session.hot.version.0.wrapping_sub(*behind));
            let did = store.forget(sid(*row), &session).await.expect(THERE);
            assert_eq!(did, gone, "{op:?}");
            Answer::Did(did)
        }
        Op::PutTicket { name, expires_at } => {
            store.put_ticket(ticket(*name, *expires_at)).await.expect(THERE);
            Answer::Did(true)
        }
        Op::Ticket { name } => {
            Answer::Ticket(store.ticket(&sample::key(&name.to_string())).await.expect(THERE))
        }
        Op::ConsumeTicket { name } => {
            Answer::Ticket(store.consume_ticket(&sample::key(&name.to_string())).await.expect(THERE))
        }
        Op::Sweep { now, limit } => {
            Answer::Count(store.sweep_tickets(UnixMillis(*now), *limit).await.expect(THERE))
        }
        Op::PutRecords { puts } => Answer::Did(store.put_records(put_records(puts)).await.expect(THERE)),
        Op::Record { kind, key } => {
            Answer::Record(store.record(kind_of(*kind), KEYS[*key]).await.expect(THERE))
        }
        Op::Records { kind, after, limit } => {
            let after = after.map(|key| KEYS[key]);
            Answer::Records(store.records(kind_of(*kind), after, *limit).await.expect(THERE))
        }
        Op::RemoveRecord { kind, key } => {
            Answer::Did(store.remove_record(kind_of(*kind), KEYS[*key]).await.expect(THERE))
        }
        Op::KeepClock { at } => {
            store.keep_service_clock(ServiceMillis(*at)).await.expect(THERE);
            Answer::Clock(store.service_clock().await.expect(THERE))
        }
        Op::Events { limit } => {
            let events = store.events(FeedPosition(0), *limit).await.expect(THERE);
            Answer::Events(events.into_iter().map(|stored| (stored.sid, stored.event)).collect())
        }
    }
}

fn forgotten(table: &Table, row: u32, behind: u32) -> Option<Session> {
    let mut session = table.session(sid(row))?.clone();
    session.hot.version = RowVersion(session.hot.version.0.wrapping_sub(behind));
    Some(session)
}

fn whose(of: Option<(bool, usize)>) -> SessionsOf {
    match of {
        None => SessionsOf::All,
        Some((true, subject)) => SessionsOf::Subject(SUBJECTS[subject].into()),
        Some((false, client)) => SessionsOf::Client(CLIENTS[client].into()),
    }
}

fn ticket(name: usize, expires_at: u64) -> perennial_core::write::Ticket {
    let ticket = sample::ticket(&name.to_string());
    perennial_core::write::Ticket { expires_at: UnixMillis(expires_at), ..ticket }
}

fn kind_of(kind: usize) -> RecordKind {
    [RecordKind::Account, RecordKind::Login][kind]
}

fn put_records(puts: &[(usize, usize, u32)]) -> Vec<PutRecord> {
    let puts = puts.iter().map(|(kind, key, expect)| PutRecord {
        kind: kind_of(*kind),
        key: KEYS[*key].into(),
        expect: *expect,
        body: vec![7; *expect as usize],
    });
    puts.collect()
}
