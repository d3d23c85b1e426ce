use perennial_core::policy::{Rotation, Rules};
use perennial_core::session::change::{Change, NotAllowed, change};
use perennial_core::session::evidence::{Class, DisputeKind};
use perennial_core::session::{
    Context, EndCause, Holder, Hot, Issue, Jkt, Reason, Refusal, State, Verdict, revoke,
};
use perennial_core::{Session, decide};

use crate::samples::{
    DAY_MS, applied, at, context, grant, home, issued, plain_session_at, rules, session_at, strict, token,
    token_with_key,
};

fn refused(session: &Session, presented: &perennial_core::session::Presented, ms: u64) -> (Refusal, Reason) {
    let decision = decide(session, presented, &home(), &rules(), at(ms));
    match decision.verdict {
        Verdict::Refuse(refusal) => (refusal, decision.reason),
        Verdict::Issue { .. } => panic!("issued: {decision:?}"),
    }
}

#[test]
fn the_current_token_rotates_and_moves_the_idle_deadline() {
    let session = session_at(3);
    let decision = decide(&session, &token_with_key(3, 3), &home(), &rules(), at(DAY_MS));
    assert_eq!(issued(&decision), (Issue::Rotate, 4));
    let after = applied(session, &decision);
    assert_eq!(after.hot.idle_at, at(DAY_MS + rules().idle_ms).service);
}

#[test]
fn a_lost_answer_replays_the_same_successor_after_a_second_ninety_minutes_and_twenty_days() {
    let rules = Rules { idle_ms: 30 * DAY_MS, ..rules() };
    let session = session_at(3);
    let rotated = applied(session.clone(), &decide(&session, &token_with_key(3, 3), &home(), &rules, at(0)));
    for ms in [1_000, 90 * 60_000, 20 * DAY_MS] {
        let again = decide(&rotated, &token_with_key(3, 3), &context(9, 9), &rules, at(ms));
        assert_eq!(issued(&again), (Issue::Replay, 4));
        assert_eq!((again.reason, again.next), (Reason::ReplayedByRetryKey, None));
    }
}

#[test]
fn siblings_without_keys_get_the_same_successor_for_half_a_minute() {
    let session = plain_session_at(3);
    let again = decide(&session, &token(2), &home(), &rules(), at(120_000 + 29_999));
    assert_eq!((issued(&again), again.reason), ((Issue::Replay, 3), Reason::ReplayedForSibling));
    assert_eq!(again.next, None);
}

#[test]
fn a_plain_client_may_come_back_late_and_is_only_counted() {
    let session = plain_session_at(3);
    let again = decide(&session, &token(2), &home(), &rules(), at(120_000 + 9 * 60_000));
    assert_eq!((issued(&again), again.reason), ((Issue::Replay, 3), Reason::ReplayedLate));
    let dispute = again.dispute.unwrap();
    assert_eq!((dispute.kind, dispute.class, dispute.added), (DisputeKind::Late, Class::Known, 0));
}

#[test]
fn a_client_that_sends_keys_gets_no_window_without_one() {
    let session = session_at(3);
    let (refusal, reason) = refused(&session, &token(2), 120_000 + 60_000);
    assert_eq!((refusal, reason), (Refusal::Stale, Reason::StaleUnproven));
}

#[test]
fn a_superseded_token_is_told_to_reload_for_two_minutes_and_then_refused() {
    let session = session_at(5);
    let first = decide(&session, &token_with_key(2, 2), &home(), &rules(), at(400_000));
    assert_eq!((first.verdict, first.reason), (Verdict::Refuse(Refusal::Stale), Reason::StaleByRetryKey));
    let session = applied(session, &first);
    let again = refused(&session, &token_with_key(2, 2), 519_999);
    assert_eq!(again, (Refusal::Stale, Reason::StaleByRetryKey), "proven as before");
    assert_eq!(refused(&session, &token_with_key(2, 2), 520_000).0, Refusal::Final);
    assert_eq!(issued(&decide(&session, &token_with_key(5, 5), &home(), &rules(), at(520_000))).1, 6);
}

#[test]
fn a_store_that_lost_rotations_is_put_right_by_the_token() {
    let session = session_at(3);
    let ahead = decide(&session, &token_with_key(7, 7), &home(), &rules(), at(500_000));
    assert_eq!((issued(&ahead), ahead.reason), ((Issue::FastForward, 8), Reason::FastForwarded));
    let session = applied(session, &ahead);
    let again = decide(&session, &token_with_key(7, 7), &home(), &rules(), at(900_000));
    assert_eq!(issued(&again), (Issue::Replay, 8));
}

#[test]
fn further_ahead_than_a_failover_explains_asks_the_user() {
    let session = session_at(3);
    assert_eq!(issued(&decide(&session, &token(13), &home(), &rules(), at(1))).1, 14);
    assert_eq!(refused(&session, &token(14), 1), (Refusal::Challenge, Reason::TooFarAhead));
}

#[test]
fn lifetimes_end_every_generation_and_write_nothing() {
    let session = session_at(3);
    let idle = at(0).service.0;
    let past_idle = session.hot.idle_at.0 - idle;
    for generation in 1..6 {
        let decision = decide(&session, &token(generation), &home(), &rules(), at(past_idle));
        assert_eq!(
            (decision.verdict, decision.reason),
            (Verdict::Refuse(Refusal::Final), Reason::IdleExpired)
        );
        assert_eq!(decision.next, None);
        let decision = decide(&session, &token(generation), &home(), &rules(), at(90 * DAY_MS));
        assert_eq!((decision.reason, decision.next), (Reason::AbsoluteExpired, None));
    }
}

#[test]
fn sliding_never_passes_the_absolute_lifetime() {
    let mut session = session_at(1);
    for day in 1..90 {
        let of = session.hot.generation.0;
        let decision = decide(&session, &token(of), &home(), &rules(), at(day * DAY_MS));
        session = applied(session, &decision);
        assert!(at(day * DAY_MS).wall_of(session.hot.idle_at) <= session.grant.absolute_at);
    }
}

#[test]
fn an_ended_session_refuses_every_generation_with_or_without_a_key() {
    let session = session_at(3);
    let ended = change(&session, Change::End { cause: EndCause::Operator }, at(1)).unwrap();
    let ended = Session { hot: ended.next, ..session };
    for presented in [token(1), token(2), token_with_key(2, 2), token(3), token_with_key(9, 9)] {
        assert_eq!(refused(&ended, &presented, 2), (Refusal::Final, Reason::Ended));
    }
    assert_eq!(change(&ended, Change::Lapse, at(2)).unwrap_err(), NotAllowed::AlreadyEnded);
}

#[test]
fn the_sweeper_lapses_only_what_has_expired() {
    let session = session_at(3);
    assert_eq!(change(&session, Change::Lapse, at(1)).unwrap_err(), NotAllowed::StillAlive);
    let lapsed = change(&session, Change::Lapse, at(90 * DAY_MS)).unwrap();
    assert!(matches!(lapsed.next.state, State::Ended { cause: EndCause::AbsoluteExpiry, .. }));
}

#[test]
fn revoking_by_the_current_token_or_its_predecessor_ends_the_session() {
    let session = session_at(4);
    for generation in [4, 3] {
        let decision = revoke(&session, &token(generation), &home(), &rules(), at(1));
        let state = decision.next.unwrap().state;
        assert!(matches!(state, State::Ended { cause: EndCause::Revoked, .. }), "{state:?}");
    }
}

#[test]
fn revoking_by_a_superseded_token_is_a_dispute_and_ends_nothing() {
    let session = plain_session_at(5);
    let decision = revoke(&session, &token(2), &home(), &rules(), at(600_000));
    assert!(decision.dispute.is_some());
    assert_eq!(decision.next.unwrap().state, State::Active);
}

#[test]
fn strict_revokes_at_the_first_reuse_without_a_proof() {
    for generation in [1, 2] {
        let session = plain_session_at(3);
        let decision = decide(&session, &token(generation), &home(), &strict(), at(120_001));
        assert_eq!(decision.reason, Reason::EvidenceRevoked);
        let ended = applied(session, &decision);
        assert!(matches!(ended.hot.state, State::Ended { cause: EndCause::TokenReuse, .. }));
        assert_eq!(refused(&ended, &token(3), 120_002), (Refusal::Final, Reason::Ended));
    }
}

#[test]
fn strict_still_replays_for_a_retry_key() {
    let session = session_at(3);
    let decision = decide(&session, &token_with_key(2, 2), &home(), &strict(), at(DAY_MS));
    assert_eq!(issued(&decision), (Issue::Replay, 3));
}

/// Owner and thief present the same token at every turn, the one that `thief_first` says first; after how many
/// turns is the session contested?
fn turns_until_contested(thief: Context, thief_first: impl Fn(u64) -> bool) -> Option<u64> {
    let mut session = plain_session_at(3);
    (0..30).find_map(|turn: u64| {
        let ms = 200_000 + turn * 60_000;
        let from = session.hot.generation.0;
        let (first, second) = if thief_first(turn) { (thief, home()) } else { (home(), thief) };
        session = applied(session.clone(), &decide(&session, &token(from), &first, &rules(), at(ms)));
        let late = decide(&session, &token(from), &second, &rules(), at(ms + 40_000));
        session = applied(session.clone(), &late);
        let contested = late.reason == Reason::EvidenceContested;
        if contested {
            let current = session.hot.generation.0;
            assert_eq!(refused(&session, &token(current), ms + 50_000).0, Refusal::Contested);
        }
        contested.then_some(turn + 1)
    })
}

#[test]
fn a_late_duplicate_of_a_rotation_that_a_failover_lost_is_no_reuse_at_any_level() {
    let before = session_at(3);
    let rules = strict();
    // Generations 3 and 4 were rotated with their keys, and then the store lost both.
    let ahead = decide(&before, &token_with_key(5, 5), &home(), &rules, at(500_000));
    let session = applied(before, &ahead);
    for (ms, refusal) in [(600_000, Refusal::Stale), (DAY_MS, Refusal::Final)] {
        let late = decide(&session, &token_with_key(4, 4), &context(9, 1), &rules, at(ms));
        assert_eq!((late.verdict, late.next, late.dispute), (Verdict::Refuse(refusal), None, None));
    }
    // Without a key it is what it is to the letter of RFC 9700: reuse.
    let reused = decide(&session, &token(4), &home(), &rules, at(600_000));
    assert_eq!(reused.reason, Reason::EvidenceRevoked);
}

#[test]
fn four_alternations_with_other_software_contest_the_session_whoever_comes_first() {
    let thief = context(5, 5);
    assert_eq!(turns_until_contested(thief, |turn| turn % 2 == 1), Some(4));
    assert_eq!(turns_until_contested(thief, |_| true), Some(4));
    assert_eq!(turns_until_contested(thief, |_| false), Some(4));
}

#[test]
fn a_thief_with_the_owners_software_on_another_network_is_noticed_whoever_comes_first() {
    let thief = context(5, 1);
    for first in [|_| true, |_| false, |turn| turn % 2 == 0] as [fn(u64) -> bool; 3] {
        let turns = turns_until_contested(thief, first);
        assert!(turns.is_some_and(|turns| turns <= 25), "{turns:?}");
    }
}

#[test]
fn a_stranger_with_leftovers_cannot_pause_the_owner() {
    let mut session = plain_session_at(9);
    for generation in 1..8 {
        let decision = decide(&session, &token(generation), &context(5, 5), &rules(), at(DAY_MS));
        assert_eq!((decision.reason, decision.dispute), (Reason::StaleFromStranger, None));
        session = applied(session, &decision);
    }
    assert!(session.hot.stranger_seen);
    assert_eq!(issued(&decide(&session, &token(9), &home(), &rules(), at(DAY_MS))).1, 10);
}

#[test]
fn a_chain_that_moved_to_other_software_contests_when_its_owner_comes_back() {
    let thief = context(5, 5);
    let mut session = plain_session_at(3);
    for turn in 0..3 {
        let from = session.hot.generation.0;
        let ms = 200_000 + turn * 600_000;
        session = applied(session.clone(), &decide(&session, &token(from), &thief, &rules(), at(ms)));
    }
    let owner = decide(&session, &token(3), &home(), &rules(), at(3_000_000));
    assert_eq!(owner.reason, Reason::EvidenceContested);
}

fn bound() -> Session {
    let session = session_at(3);
    let grant = perennial_core::session::Grant { bound_key: Some(Jkt([8; 32])), ..grant() };
    let hot = Hot { bound_from: Some(perennial_core::Generation(2)), ..session.hot };
    Session { grant: grant.into(), hot }
}

#[test]
fn a_bound_token_without_its_key_yields_nothing_and_harms_nobody() {
    for generation in [2, 3, 4] {
        for holder in [Holder::Bearer, Holder::Key(Jkt([9; 32]))] {
            let presented = perennial_core::session::Presented { holder, ..token(generation) };
            let decision = decide(&bound(), &presented, &context(5, 5), &rules(), at(1));
            assert_eq!(decision.verdict, Verdict::Refuse(Refusal::Unbound));
            assert_eq!((decision.next, decision.dispute), (None, None));
            let decision = revoke(&bound(), &presented, &context(5, 5), &rules(), at(1));
            assert_eq!((decision.next, decision.reason), (None, Reason::NothingRevoked));
        }
    }
}

#[test]
fn the_bound_key_brings_an_old_token_up_to_date() {
    let holder = Holder::Key(Jkt([8; 32]));
    let old = perennial_core::session::Presented { holder, ..token(1) };
    let decision = decide(&bound(), &old, &home(), &rules(), at(1));
    assert_eq!((issued(&decision), decision.reason), ((Issue::Resync, 3), Reason::ResyncedByBoundKey));
}

#[test]
fn a_confidential_client_renews_without_rotation_where_the_policy_says_so() {
    let rules = Rules { rotation: Rotation::OlderThan { ms: 3_600_000 }, ..rules() };
    let by_client =
        |generation| perennial_core::session::Presented { holder: Holder::Client, ..token(generation) };
    let session = session_at(3);
    let renewed = decide(&session, &by_client(3), &home(), &rules, at(180_000));
    assert_eq!(issued(&renewed), (Issue::Renew, 3));
    let session = applied(session, &renewed);
    assert_eq!(issued(&decide(&session, &by_client(2), &home(), &rules, at(181_000))), (Issue::Resync, 3));
    assert_eq!(issued(&decide(&session, &by_client(3), &home(), &rules, at(DAY_MS))), (Issue::Rotate, 4));
}
