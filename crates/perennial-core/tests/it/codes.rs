use perennial_core::session::{EndCause, Issue, Reason, Refusal, State, Verdict, redeem};

use crate::samples::{applied, at, home, issued, newborn, rules, token, token_with_key};

#[test]
fn a_code_becomes_the_first_refresh_token() {
    let decision = redeem(&newborn(), &token_with_key(0, 1), &home(), &rules(), at(1_000));
    assert_eq!(issued(&decision), (Issue::Rotate, 1));
}

#[test]
fn a_lost_answer_to_a_redemption_is_given_again_for_its_retry_key() {
    let first = redeem(&newborn(), &token_with_key(0, 1), &home(), &rules(), at(1_000));
    let session = applied(newborn(), &first);
    let again = redeem(&session, &token_with_key(0, 1), &home(), &rules(), at(3_600_000));
    assert_eq!(issued(&again), (Issue::Replay, 1));
    assert_eq!(again.next, None);
}

#[test]
fn a_code_redeemed_again_without_its_retry_key_ends_the_session() {
    for (first, second) in [
        (token(0), token(0)),
        (token_with_key(0, 1), token(0)),
        (token_with_key(0, 1), token_with_key(0, 2)),
        (token(0), token_with_key(0, 2)),
    ] {
        let session = applied(newborn(), &redeem(&newborn(), &first, &home(), &rules(), at(1_000)));
        let again = redeem(&session, &second, &home(), &rules(), at(1_001));
        assert_eq!(again.reason, Reason::CodeReused);
        let ended = applied(session, &again);
        assert!(matches!(ended.hot.state, State::Ended { cause: EndCause::CodeReuse, .. }));
        let refresh = perennial_core::decide(&ended, &token(1), &home(), &rules(), at(2_000));
        assert_eq!(refresh.verdict, Verdict::Refuse(Refusal::Final));
    }
}

#[test]
fn a_code_that_waited_too_long_is_refused_and_nothing_is_written() {
    let late = redeem(&newborn(), &token(0), &home(), &rules(), at(rules().code_lifetime_ms));
    assert_eq!((late.verdict, late.reason), (Verdict::Refuse(Refusal::Final), Reason::CodeExpired));
    assert_eq!(late.next, None);
}

#[test]
fn a_late_duplicate_of_a_redemption_harms_nobody_once_the_session_moved_on() {
    let session = crate::samples::session_at(9);
    let duplicate = redeem(&session, &token_with_key(0, 0), &home(), &rules(), at(600_000));
    assert!(matches!(duplicate.verdict, Verdict::Refuse(_)));
    assert_eq!(duplicate.next, None);
}
