//! The clauses, each a function over any store.

use std::sync::Arc;

use perennial_core::write::{Applied, Expect, FeedPosition, TicketChange, Write};
use perennial_core::{RowVersion, ServiceMillis, Session, SessionId, UnixMillis};
use perennial_store::{PutRecord, Record, RecordKind, SessionsOf, Store, StoreError};

use crate::sample::{self, sid};

/// One test for each clause, each against a store of its own.
macro_rules! clauses {
    (@each $open:expr, $($clause:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $clause() {
            let fresh = ($open)().await;
            $crate::contract::everything::$clause(fresh.store.clone()).await;
            fresh.store.close().await;
        }
    )*};
    ($open:expr) => {
        $crate::contract::everything::clauses!(@each $open,
            a_session_that_was_never_born_is_absent,
            a_birth_is_read_back_whole_at_version_zero,
            a_birth_of_what_lives_already_conflicts,
            a_birth_without_a_grant_is_absent,
            a_write_sets_the_version_that_follows,
            a_write_on_an_older_version_brings_the_newer_row,
            a_write_on_an_absent_row_says_so,
            a_changed_grant_goes_with_its_write,
            a_ticket_in_a_write_is_consumed_with_it_or_nothing_is_done,
            a_conflict_leaves_the_ticket,
            a_ticket_is_laid_down_with_its_write_and_only_with_it,
            one_of_many_callers_consumes_a_ticket,
            one_of_many_writers_consumes_a_ticket,
            a_ticket_is_replaced_by_the_next_with_its_key,
            expired_tickets_are_swept_in_slices,
            records_are_written_at_the_version_they_expect,
            records_are_written_all_or_none,
            records_are_listed_by_kind_in_key_order_in_pages,
            a_removed_record_begins_anew,
            sessions_are_listed_by_subject_and_client_in_pages,
            a_row_is_forgotten_only_as_it_was_read,
            events_go_with_their_change_and_only_with_it,
            the_service_clock_never_runs_backwards,
            twenty_four_writers_on_one_row_apply_one_write_per_version,
            what_is_asked_after_close_is_closed,
        );
    };
}
pub(crate) use clauses;

type AnyStore = Arc<dyn Store>;

async fn bear(store: &AnyStore, n: u32, subject: &str, client: &str) -> Session {
    let session = sample::session(subject, client);
    applied(&store.apply(sample::birth(sid(n), &session)).await.expect("the store is there"));
    read(store, sid(n)).await
}

async fn read(store: &AnyStore, sid: SessionId) -> Session {
    store.session(sid).await.expect("the store is there").expect("the session is there")
}

fn applied(answer: &Applied) -> FeedPosition {
    match answer {
        Applied::Applied(position) => *position,
        Applied::Conflict(_) | Applied::Absent | Applied::Consumed => panic!("not applied: {answer:?}"),
    }
}

fn conflict(answer: Applied) -> Session {
    match answer {
        Applied::Conflict(session) => *session,
        Applied::Applied(_) | Applied::Absent | Applied::Consumed => panic!("no conflict: {answer:?}"),
    }
}

pub(crate) async fn a_session_that_was_never_born_is_absent(store: AnyStore) {
    assert_eq!(store.session(sid(1)).await.expect("read"), None);
}

pub(crate) async fn a_birth_is_read_back_whole_at_version_zero(store: AnyStore) {
    let session = sample::session("ada", "notes");
    applied(&store.apply(sample::birth(sid(1), &session)).await.expect("apply"));
    assert_eq!(read(&store, sid(1)).await, session);
    let unbound = perennial_core::session::Grant { bound_key: None, ..sample::grant("", "") };
    let unbound = Session { grant: Arc::new(unbound), hot: session.hot };
    applied(&store.apply(sample::birth(sid(2), &unbound)).await.expect("apply"));
    assert_eq!(read(&store, sid(2)).await, unbound);
}

pub(crate) async fn a_birth_of_what_lives_already_conflicts(store: AnyStore) {
    let standing = bear(&store, 1, "ada", "notes").await;
    let other = sample::session("eve", "notes");
    let answer = store.apply(sample::birth(sid(1), &other)).await.expect("apply");
    assert_eq!(conflict(answer), standing);
    assert_eq!(read(&store, sid(1)).await, standing);
}

pub(crate) async fn a_birth_without_a_grant_is_absent(store: AnyStore) {
    let write = Write { grant: None, ..sample::birth(sid(1), &sample::session("ada", "notes")) };
    assert!(matches!(store.apply(write).await, Ok(Applied::Absent)));
    assert_eq!(store.session(sid(1)).await.expect("read"), None);
}

pub(crate) async fn a_write_sets_the_version_that_follows(store: AnyStore) {
    let born = bear(&store, 1, "ada", "notes").await;
    let mut write = sample::rotation(sid(1), &born);
    write.hot.version = RowVersion(77);
    let expected = sample::after(&write, &born);
    applied(&store.apply(write).await.expect("apply"));
    assert_eq!(read(&store, sid(1)).await, expected);
    assert_eq!(expected.hot.version, RowVersion(1));
}

pub(crate) async fn a_write_on_an_older_version_brings_the_newer_row(store: AnyStore) {
    let born = bear(&store, 1, "ada", "notes").await;
    applied(&store.apply(sample::rotation(sid(1), &born)).await.expect("apply"));
    let newer = read(&store, sid(1)).await;
    let answer = store.apply(sample::rotation(sid(1), &born)).await.expect("apply");
    assert_eq!(conflict(answer), newer);
    assert_eq!(read(&store, sid(1)).await, newer);
}

pub(crate) async fn a_write_on_an_absent_row_says_so(store: AnyStore) {
    let write = sample::rotation(sid(1), &sample::session("ada", "notes"));
    assert!(matches!(store.apply(write).await, Ok(Applied::Absent)));
    assert_eq!(store.session(sid(1)).await.expect("read"), None);
}

pub(crate) async fn a_changed_grant_goes_with_its_write(store: AnyStore) {
    let born = bear(&store, 1, "ada", "notes").await;
    let mut write = sample::rotation(sid(1), &born);
    let renewed =
        perennial_core::session::Grant { acr: "urn:example:passkey".into(), ..(*born.grant).clone() };
    write.grant = Some(Arc::new(renewed));
    let expected = sample::after(&write, &born);
    applied(&store.apply(write).await.expect("apply"));
    assert_eq!(read(&store, sid(1)).await, expected);
    let late = Write { grant: Some(born.grant.clone()), ..sample::rotation(sid(1), &born) };
    assert_eq!(conflict(store.apply(late).await.expect("apply")), expected);
    applied(&store.apply(sample::rotation(sid(1), &expected)).await.expect("apply"));
    assert_eq!(read(&store, sid(1)).await.grant, expected.grant);
}

pub(crate) async fn a_ticket_in_a_write_is_consumed_with_it_or_nothing_is_done(store: AnyStore) {
    let born = bear(&store, 1, "ada", "notes").await;
    let consume = |read: &Session| Write {
        ticket: Some(TicketChange::Consume(sample::key("code"))),
        ..sample::rotation(sid(1), read)
    };
    assert!(matches!(store.apply(consume(&born)).await, Ok(Applied::Consumed)));
    assert_eq!(read(&store, sid(1)).await, born);
    store.put_ticket(sample::ticket("code")).await.expect("put");
    applied(&store.apply(consume(&born)).await.expect("apply"));
    assert_eq!(store.ticket(&sample::key("code")).await.expect("read"), None);
    let rotated = read(&store, sid(1)).await;
    assert!(matches!(store.apply(consume(&rotated)).await, Ok(Applied::Consumed)));
    let birth = sample::birth(sid(2), &born);
    let birth = Write { ticket: Some(TicketChange::Consume(sample::key("code"))), ..birth };
    assert!(matches!(store.apply(birth).await, Ok(Applied::Consumed)));
    assert_eq!(store.session(sid(2)).await.expect("read"), None);
}

pub(crate) async fn a_conflict_leaves_the_ticket(store: AnyStore) {
    let born = bear(&store, 1, "ada", "notes").await;
    applied(&store.apply(sample::rotation(sid(1), &born)).await.expect("apply"));
    store.put_ticket(sample::ticket("code")).await.expect("put");
    for ticket in ["code", "gone"] {
        let write = Write {
            ticket: Some(TicketChange::Consume(sample::key(ticket))),
            ..sample::rotation(sid(1), &born)
        };
        conflict(store.apply(write).await.expect("apply"));
    }
    assert_eq!(store.ticket(&sample::key("code")).await.expect("read"), Some(sample::ticket("code")));
}

pub(crate) async fn a_ticket_is_laid_down_with_its_write_and_only_with_it(store: AnyStore) {
    let born = bear(&store, 1, "ada", "notes").await;
    let put = |name: &str| Write {
        ticket: Some(TicketChange::Put(sample::ticket(name))),
        ..sample::rotation(sid(1), &born)
    };
    applied(&store.apply(put("with")).await.expect("apply"));
    conflict(store.apply(put("without")).await.expect("apply"));
    assert_eq!(store.ticket(&sample::key("with")).await.expect("read"), Some(sample::ticket("with")));
    assert_eq!(store.ticket(&sample::key("without")).await.expect("read"), None);
}

pub(crate) async fn one_of_many_callers_consumes_a_ticket(store: AnyStore) {
    store.put_ticket(sample::ticket("once")).await.expect("put");
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let store = Arc::clone(&store);
        callers.spawn(async move { store.consume_ticket(&sample::key("once")).await.expect("consume") });
    }
    let taken: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken, [sample::ticket("once")]);
}

pub(crate) async fn one_of_many_writers_consumes_a_ticket(store: AnyStore) {
    store.put_ticket(sample::ticket("once")).await.expect("put");
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..32 {
        let born = bear(&store, n, "ada", "notes").await;
        let store = Arc::clone(&store);
        callers.spawn(async move {
            let ticket = Some(TicketChange::Consume(sample::key("once")));
            let write = Write { ticket, ..sample::rotation(sid(n), &born) };
            matches!(store.apply(write).await.expect("apply"), Applied::Applied(_))
        });
    }
    assert_eq!(callers.join_all().await.into_iter().filter(|applied| *applied).count(), 1);
}

pub(crate) async fn a_ticket_is_replaced_by_the_next_with_its_key(store: AnyStore) {
    let (first, mut second) = (sample::ticket("again"), sample::ticket("again"));
    second.payload = b"newer".to_vec();
    store.put_ticket(first).await.expect("put");
    store.put_ticket(second.clone()).await.expect("put");
    assert_eq!(store.ticket(&second.key).await.expect("read"), Some(second.clone()));
    assert_eq!(store.consume_ticket(&second.key).await.expect("consume"), Some(second.clone()));
    assert_eq!(store.consume_ticket(&second.key).await.expect("consume"), None);
}

pub(crate) async fn expired_tickets_are_swept_in_slices(store: AnyStore) {
    for n in 0..10_u64 {
        let mut ticket = sample::ticket(&n.to_string());
        ticket.expires_at = UnixMillis(1_000 + n);
        store.put_ticket(ticket).await.expect("put");
    }
    assert_eq!(store.sweep_tickets(UnixMillis(1_007), 3).await.expect("sweep"), 3);
    assert_eq!(store.sweep_tickets(UnixMillis(1_007), 100).await.expect("sweep"), 4);
    assert_eq!(store.sweep_tickets(UnixMillis(1_007), 100).await.expect("sweep"), 0);
    assert_eq!(store.ticket(&sample::key("6")).await.expect("read"), None);
    assert!(store.ticket(&sample::key("7")).await.expect("read").is_some(), "not yet expired");
}

fn put(kind: RecordKind, key: &str, expect: u32, body: &str) -> PutRecord {
    PutRecord { kind, key: key.into(), expect, body: body.into() }
}

fn record(kind: RecordKind, key: &str, version: u32, body: &str) -> Record {
    Record { kind, key: key.into(), version, body: body.into() }
}

pub(crate) async fn records_are_written_at_the_version_they_expect(store: AnyStore) {
    let kind = RecordKind::Account;
    assert!(!store.put_records(vec![put(kind, "ada", 1, "early")]).await.expect("put"));
    assert!(store.put_records(vec![put(kind, "ada", 0, "one")]).await.expect("put"));
    assert!(!store.put_records(vec![put(kind, "ada", 0, "again")]).await.expect("put"));
    assert!(store.put_records(vec![put(kind, "ada", 1, "two")]).await.expect("put"));
    assert!(!store.put_records(vec![put(kind, "ada", 1, "late")]).await.expect("put"));
    assert_eq!(store.record(kind, "ada").await.expect("read"), Some(record(kind, "ada", 2, "two")));
    assert_eq!(store.record(RecordKind::Login, "ada").await.expect("read"), None);
}

pub(crate) async fn records_are_written_all_or_none(store: AnyStore) {
    let (account, login) = (RecordKind::Account, RecordKind::Login);
    assert!(store.put_records(vec![put(login, "ada", 0, "s1")]).await.expect("put"));
    let both = vec![put(account, "s2", 0, "ada"), put(login, "ada", 0, "s2")];
    assert!(!store.put_records(both).await.expect("put"));
    assert_eq!(store.record(account, "s2").await.expect("read"), None);
    let both = vec![put(account, "s1", 0, "ada"), put(login, "ada", 1, "s1")];
    assert!(store.put_records(both).await.expect("put"));
    let twice = vec![put(account, "s1", 1, "first"), put(account, "s1", 2, "second")];
    assert!(store.put_records(twice).await.expect("put"));
    assert_eq!(store.record(account, "s1").await.expect("read"), Some(record(account, "s1", 3, "second")));
}

pub(crate) async fn records_are_listed_by_kind_in_key_order_in_pages(store: AnyStore) {
    let keys = ["b", "a", "ä", "a b", "B", "c"];
    let puts = keys.iter().map(|key| put(RecordKind::Client, key, 0, key)).collect();
    assert!(store.put_records(puts).await.expect("put"));
    assert!(store.put_records(vec![put(RecordKind::Consent, "aa", 0, "")]).await.expect("put"));
    let mut listed: Vec<String> = Vec::new();
    loop {
        let after = listed.last().cloned();
        let page = store.records(RecordKind::Client, after.as_deref(), 4).await.expect("list");
        if page.is_empty() {
            break;
        }
        listed.extend(page.into_iter().map(|record| record.key));
    }
    assert_eq!(listed, ["B", "a", "a b", "b", "c", "ä"]);
}

pub(crate) async fn a_removed_record_begins_anew(store: AnyStore) {
    let kind = RecordKind::Key;
    assert!(!store.remove_record(kind, "k").await.expect("remove"));
    assert!(store.put_records(vec![put(kind, "k", 0, "one")]).await.expect("put"));
    assert!(store.remove_record(kind, "k").await.expect("remove"));
    assert!(!store.remove_record(kind, "k").await.expect("remove"));
    assert!(!store.put_records(vec![put(kind, "k", 1, "two")]).await.expect("put"));
    assert!(store.put_records(vec![put(kind, "k", 0, "anew")]).await.expect("put"));
    assert_eq!(store.record(kind, "k").await.expect("read"), Some(record(kind, "k", 1, "anew")));
}

pub(crate) async fn sessions_are_listed_by_subject_and_client_in_pages(store: AnyStore) {
    for n in (0..12).rev() {
        let subject = if n % 2 == 0 { "ada" } else { "bob" };
        let client = if n % 3 == 0 { "notes" } else { "mail" };
        bear(&store, n, subject, client).await;
    }
    let lists = [
        (SessionsOf::All, (0..12).collect::<Vec<_>>()),
        (SessionsOf::Subject("ada".into()), vec![0, 2, 4, 6, 8, 10]),
        (SessionsOf::Client("notes".into()), vec![0, 3, 6, 9]),
        (SessionsOf::Subject("eve".into()), vec![]),
    ];
    for (of, expected) in lists {
        let mut listed = Vec::new();
        loop {
            let after = listed.last().map(|(sid, _): &(SessionId, Session)| *sid);
            let page = store.sessions(of.clone(), after, 4).await.expect("list");
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= 4);
            listed.extend(page);
        }
        let sids: Vec<_> = listed.iter().map(|(sid, _)| *sid).collect();
        assert_eq!(sids, expected.into_iter().map(sid).collect::<Vec<_>>(), "{of:?}");
        for (sid, session) in listed {
            assert_eq!(read(&store, sid).await, session);
        }
    }
}

pub(crate) async fn a_row_is_forgotten_only_as_it_was_read(store: AnyStore) {
    let born = bear(&store, 1, "ada", "notes").await;
    applied(&store.apply(sample::rotation(sid(1), &born)).await.expect("apply"));
    let rotated = read(&store, sid(1)).await;
    assert!(!store.forget(sid(1), &born).await.expect("forget"));
    assert_eq!(read(&store, sid(1)).await, rotated);
    assert!(store.forget(sid(1), &rotated).await.expect("forget"));
    assert!(!store.forget(sid(1), &rotated).await.expect("forget"));
    assert_eq!(store.session(sid(1)).await.expect("read"), None);
    assert!(store.sessions(SessionsOf::Subject("ada".into()), None, 9).await.expect("list").is_empty());
    assert!(matches!(store.apply(sample::rotation(sid(1), &rotated)).await, Ok(Applied::Absent)));
}

pub(crate) async fn events_go_with_their_change_and_only_with_it(store: AnyStore) {
    assert!(store.events(FeedPosition(0), 9).await.expect("events").is_empty());
    let mut last = bear(&store, 1, "ada", "notes").await;
    let mut told = vec![(sid(1), sample::birth(sid(1), &last).event)];
    for _ in 0..6 {
        let write = sample::rotation(sid(1), &last);
        told.push((sid(1), write.event.clone()));
        conflict(store.apply(sample::birth(sid(1), &last)).await.expect("apply"));
        applied(&store.apply(write.clone()).await.expect("apply"));
        conflict(store.apply(write).await.expect("apply"));
        let absent = sample::rotation(sid(9), &last);
        assert!(matches!(store.apply(absent).await, Ok(Applied::Absent)));
        last = read(&store, sid(1)).await;
    }
    let mut stored = Vec::new();
    let mut after = FeedPosition(0);
    loop {
        let page = store.events(after, 3).await.expect("events");
        let Some(newest) = page.last() else { break };
        assert!(page.iter().all(|event| event.position > after), "later than the page before");
        assert!(page.is_sorted_by(|a, b| a.position < b.position));
        after = newest.position;
        stored.extend(page.into_iter().map(|event| (event.sid, event.event)));
    }
    assert_eq!(stored, told);
}

pub(crate) async fn the_service_clock_never_runs_backwards(store: AnyStore) {
    assert_eq!(store.service_clock().await.expect("clock"), ServiceMillis(0));
    for (kept, stands) in [(500, 500), (300, 500), (500, 500), (501, 501), (0, 501)] {
        store.keep_service_clock(ServiceMillis(kept)).await.expect("keep");
        assert_eq!(store.service_clock().await.expect("clock"), ServiceMillis(stands));
    }
}

pub(crate) async fn twenty_four_writers_on_one_row_apply_one_write_per_version(store: AnyStore) {
    const WRITERS: usize = 24;
    const WRITES: usize = 12;
    let born = bear(&store, 1, "ada", "notes").await;
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (store, mut standing) = (Arc::clone(&store), born.clone());
        writers.spawn(async move {
            let mut won = Vec::new();
            while won.len() < WRITES {
                let write = sample::rotation(sid(1), &standing);
                let Expect::Version(version) = write.expect else { unreachable!("a rotation") };
                let rotated = sample::after(&write, &standing);
                standing = match store.apply(write).await.expect("apply") {
                    Applied::Applied(_) => {
                        won.push(version);
                        rotated
                    }
                    Applied::Conflict(newer) => {
                        assert!(newer.hot.version > version, "a conflict brings a newer row");
                        *newer
                    }
                    other @ (Applied::Absent | Applied::Consumed) => panic!("{other:?}"),
                };
                let read = store.session(sid(1)).await.expect("read").expect("there");
                assert!(read.hot.version >= standing.hot.version, "an acknowledged write is read");
            }
            won
        });
    }
    let mut won: Vec<RowVersion> = writers.join_all().await.into_iter().flatten().collect();
    won.sort_unstable();
    let each = (0..u32::try_from(WRITERS * WRITES).expect("few")).map(RowVersion);
    assert_eq!(won, each.collect::<Vec<_>>());
}

pub(crate) async fn what_is_asked_after_close_is_closed(store: AnyStore) {
    let born = bear(&store, 1, "ada", "notes").await;
    store.close().await;
    assert!(matches!(store.session(sid(1)).await, Err(StoreError::Closed)));
    assert!(matches!(store.apply(sample::rotation(sid(1), &born)).await, Err(StoreError::Closed)));
    assert!(matches!(store.service_clock().await, Err(StoreError::Closed)));
    store.close().await;
}
