//! What the engine makes of answers: believed or not, final or not, the token endpoint's and the API's.

use super::*;

#[test]
fn answers_that_are_not_oauth_answers_are_never_believed() {
    let html = |status| HttpAnswer {
        status,
        content_type: Some("text/html".into()),
        body: b"<html>".to_vec().into(),
        ..HttpAnswer::default()
    };
    let mut truncated = tokens("at-2", "rt-3", 600);
    truncated.body.truncate(30);
    let mut unlabelled = tokens("at-2", "rt-3", 600);
    unlabelled.content_type = None;
    let no_type = json(200, &serde_json::json!({ "access_token": "at-2", "expires_in": 600 }));
    let other_404 = error(404, "not_found");
    let strange =
        [html(200), html(302), html(403), html(400), html(503), truncated, unlabelled, no_type, other_404];
    for answer in strange {
        let mut bench = Bench::signed_in();
        for _ in 0..50 {
            while bench.engine.step_is_idle() {
                bench.wake();
            }
            bench.answer(answer.clone());
        }
        assert_eq!(bench.phase(), Phase::ExpiredRetrying, "{answer:?}");
        assert_eq!(bench.stored_refresh_token(), Some("rt-2"));
    }
}

#[test]
fn retry_after_is_honoured() {
    let mut bench = Bench::signed_in();
    bench.wake();
    let mut busy = error(503, "temporarily_unavailable");
    busy.retry_after = Some("40".into());
    bench.answer(busy);
    let wait = bench.wake_at.expect("a next try").since_ms(bench.now.boot);
    assert!((40_000..=45_000).contains(&wait), "{wait}");
}

#[test]
fn retry_after_as_a_date_is_held_against_the_servers_clock() {
    let mut bench = Bench::signed_in();
    bench.wake();
    let mut busy = error(429, "slow_down");
    busy.date = Some("Sun, 06 Nov 1994 08:49:37 GMT".into());
    busy.retry_after = Some("Sun, 06 Nov 1994 08:50:17 GMT".into());
    bench.answer(busy);
    let wait = bench.wake_at.expect("a next try").since_ms(bench.now.boot);
    assert!((40_000..=45_000).contains(&wait), "{wait}");
}

#[test]
fn invalid_grant_adopts_the_newer_token_of_another_process() {
    let mut bench = Bench::signed_in();
    bench.wake();
    let mut other = Bench::with(bench.stored.clone());
    other.now = bench.now;
    other.pass_ms(600_000);
    other.want(0, 1_000);
    other.answer(tokens("at-9", "rt-9", 600));
    bench.stored = other.stored.clone();
    bench.pass_ms(600_000);
    bench.answer(error(400, "invalid_grant"));
    bench.want(0, 1_000);
    assert_eq!(bench.last_token(), "at-9");
    assert_eq!(bench.phase(), Phase::Fresh);
}

#[test]
fn invalid_grant_without_news_in_the_store_sets_the_tokens_aside_with_their_story() {
    let mut bench = Bench::signed_in();
    bench.wake();
    let body = serde_json::json!({ "error": "invalid_grant", "error_description": "The session was revoked.",
        "reason": "revoked", "retryable": false, "action": "reauthenticate", "request_id": "r-7" });
    bench.answer(json(400, &body));
    assert_eq!(bench.phase(), Phase::SignedOut);
    let stored = bench.stored.clone().expect("stored");
    assert!(stored.tokens.is_none());
    assert_eq!(stored.set_aside[0].reason.as_deref(), Some("revoked"));
    assert_eq!(stored.set_aside[0].tokens.refresh_token, Some(Secret::from("rt-2")));
    bench.want(0, 60_000);
    assert!(bench.failed[0].1.is_signed_out(), "{:?}", bench.failed);
    let restarted = Bench::with(bench.stored.clone());
    assert!(matches!(restarted.engine.ended, Some(Trouble::SignedOut(_))));
}

#[test]
fn sign_in_elsewhere_revives_a_signed_out_process() {
    let mut bench = Bench::signed_in();
    bench.wake();
    bench.answer(error(400, "invalid_grant"));
    let other = Bench::signed_in();
    let anew = other.stored.expect("stored");
    bench.stored = Some(anew.in_place_of(&bench.stored.clone().expect("stored"), bench.now.wall));
    bench.pass_ms(2_000);
    bench.want(0, 1_000);
    if !bench.engine.step_is_idle() {
        bench.answer(tokens("at-1", "rt-3", 600));
    }
    assert_eq!(bench.last_token(), "at-1");
}

#[test]
fn conflict_reads_the_store_again_and_is_not_final() {
    let mut bench = Bench::signed_in();
    bench.wake();
    let body = serde_json::json!({ "error": "conflict", "reason": "superseded", "retryable": true,
        "action": "reload_credentials" });
    bench.answer(json(409, &body));
    assert_eq!(bench.phase(), Phase::Expiring);
    assert_eq!(bench.stored_refresh_token(), Some("rt-2"));
}

#[test]
fn failing_server_signs_nobody_out_whatever_it_says() {
    let body =
        serde_json::json!({ "error": "invalid_grant", "retryable": false, "action": "reauthenticate" });
    for status in [429, 500, 502, 503] {
        let mut bench = Bench::signed_in();
        for _ in 0..20 {
            while bench.engine.step_is_idle() {
                bench.wake();
            }
            bench.answer(json(status, &body));
        }
        assert_eq!(bench.stored_refresh_token(), Some("rt-2"), "{status}");
    }
}

#[test]
fn unknown_refusal_is_tried_again_a_bounded_number_of_times() {
    let mut bench = Bench::signed_in();
    let mut tries = 0;
    while bench.phase() != Phase::SignedOut {
        while bench.engine.step_is_idle() {
            bench.wake();
        }
        tries += 1;
        bench.answer(error(400, "token_is_tired"));
    }
    assert_eq!(tries, 5);
}

#[test]
fn contested_session_is_paused_and_keeps_its_credentials() {
    let mut bench = Bench::signed_in();
    bench.wake();
    let body = serde_json::json!({ "error": "invalid_grant", "reason": "contested", "retryable": false,
        "action": "confirm", "error_uri": "https://id/account/confirm" });
    bench.answer(json(400, &body));
    assert_eq!(bench.phase(), Phase::Paused);
    assert_eq!(bench.stored_refresh_token(), Some("rt-2"));
    bench.pass_ms(600_000);
    bench.event(Event::Timer);
    bench.answer(json(400, &body));
    bench.want(0, 10_000);
    let text = bench.failed[0].1.to_string();
    assert!(text.contains("https://id/account/confirm"), "{text}");
}

#[test]
fn api_refusal_refreshes_once_and_a_refused_fresh_token_is_a_state() {
    let mut bench = Bench::signed_in();
    let serial = bench.engine.serial();
    bench.api_refuses(serial);
    bench.api_refuses(serial);
    assert_eq!(bench.sent.len(), 1);
    bench.answer(tokens("at-2", "rt-3", 600));
    assert_eq!(bench.handed_out.len(), 2);
    bench.api_refuses(bench.engine.serial());
    assert_eq!(bench.sent.len(), 1, "no second refresh");
    assert!(matches!(bench.failed[0].1, TokenError::Attend(Trouble::ApiRefusesFreshToken)));
    assert_eq!(bench.engine.state().map(|state| state.advice), Some(Advice::Warn));
    bench.want(0, 1_000);
    assert_eq!(bench.last_token(), "at-2", "other callers keep the token");
}

#[test]
fn late_refusal_of_an_older_token_gets_the_newer_one_without_a_refresh() {
    let mut bench = Bench::signed_in();
    let serial = bench.engine.serial();
    bench.wake();
    bench.answer(tokens("at-2", "rt-3", 600));
    bench.api_refuses(serial);
    assert_eq!(bench.last_token(), "at-2");
    assert_eq!(bench.sent.len(), 1);
}

#[test]
fn answer_without_a_refresh_token_keeps_the_one_at_hand() {
    let mut bench = Bench::signed_in();
    bench.wake();
    let key = bench.stored.as_ref().and_then(|stored| stored.retry_key.clone());
    let body = serde_json::json!({ "access_token": "at-2", "expires_in": "600", "token_type": "Bearer" });
    bench.answer(json(200, &body));
    assert_eq!(bench.stored_refresh_token(), Some("rt-2"));
    assert_eq!(bench.stored.as_ref().and_then(|stored| stored.retry_key.clone()), key);
}

#[test]
fn expires_in_beats_exp_and_exp_serves_where_it_is_missing() {
    let now = Clocks { wall: UnixMillis(WALL), ..Clocks::default() };
    // {"alg":"none"} . {"exp":1800000100,"iat":1800000000}
    let jwt = "eyJhbGciOiJub25lIn0.eyJleHAiOjE4MDAwMDAxMDAsImlhdCI6MTgwMDAwMDAwMH0.c2ln";
    let read = |body: &serde_json::Value| match read_answer(&json(200, body), &now, &now) {
        Outcome::Issued(issued) => issued.access_token.lifetime_ms,
        other @ (Outcome::Refused(_) | Outcome::Unbelievable { .. }) => panic!("{other:?}"),
    };
    let by_claims = serde_json::json!({ "access_token": jwt, "token_type": "Bearer" });
    let by_answer = serde_json::json!({ "access_token": jwt, "token_type": "Bearer", "expires_in": 20 });
    assert_eq!(read(&by_claims), 100_000);
    assert_eq!(read(&by_answer), 20_000);
}

#[test]
fn oddities_of_foreign_servers_do_not_cost_the_tokens() {
    let mut bench = Bench::signed_in();
    bench.wake();
    let body = serde_json::json!({ "access_token": "at-2", "refresh_token": "rt-3", "token_type": "bearer",
        "expires_in": 3599.5, "scope": ["a", "b"], "id_token": null, "session": "none", "user": { "id": 1 } });
    bench.answer(json(200, &body));
    assert_eq!(bench.stored_refresh_token(), Some("rt-3"));
    let token = bench.engine.live_token(&bench.now).expect("a token").token;
    assert_eq!((token.lifetime_ms, token.scope), (3_599_000, None));
}

#[test]
fn limited_and_ending_sessions_are_published_with_their_facts() {
    let cases = [("limited", Phase::Limited), ("ending", Phase::Ending), ("active", Phase::Fresh)];
    for (state, phase) in cases {
        let mut bench = Bench::signed_in();
        bench.wake();
        let body = serde_json::json!({ "access_token": "at-2", "refresh_token": "rt-3", "expires_in": 600,
            "token_type": "Bearer", "session": { "id": "s", "state": state, "ends_at": 1_800_003_600,
            "missing_scope": "pay" } });
        bench.answer(json(200, &body));
        let published = bench.engine.state().expect("a state");
        assert_eq!(published.phase, phase);
        assert_eq!(published.ends_at, Some(1_800_003_600));
        assert_eq!(published.missing_scope.as_deref(), Some("pay"));
        assert_eq!(published.advice == Advice::Fetch, phase == Phase::Fresh);
    }
}

#[test]
fn tokens_that_are_born_expired_do_not_loop() {
    let mut bench = Bench::signed_in();
    bench.wake();
    bench.answer(tokens("at-2", "rt-3", 0));
    assert!(bench.engine.step_is_idle());
    assert!(matches!(bench.engine.state().and_then(|s| s.trouble.clone()), Some(Trouble::BornExpired)));
}
