use perennial_core::policy::{
    ClientKind, Level, Policy, PolicyError, Response, Reuse, Rules, parse_duration_ms,
};
use proptest::prelude::*;

#[test]
fn an_empty_document_is_the_default_policy() {
    let policy = Policy::parse("").unwrap();
    assert_eq!(policy, Policy::default());
    assert_eq!(policy.rules(ClientKind::Web, None, None), Rules::of_kind(ClientKind::Web));
}

#[test]
fn a_document_sets_lifetimes_by_kind() {
    let policy = Policy::parse(
        "[client_kinds.web]\naccess_token.lifetime = \"20s\"\nsession.idle = \"2h\"\nretry.without_proof = \"0s\"",
    )
    .unwrap();
    let web = policy.rules(ClientKind::Web, None, None);
    assert_eq!((web.access_lifetime_ms, web.idle_ms, web.without_proof_ms), (20_000, 7_200_000, 0));
    assert_eq!(policy.rules(ClientKind::Agent, None, None), Rules::of_kind(ClientKind::Agent));
}

#[test]
fn strict_closes_both_windows_and_acts_at_the_first_dispute() {
    let rules = Policy::default().rules(ClientKind::Web, Some(Level::Strict), Some(Response::Revoke));
    assert_eq!((rules.siblings_ms, rules.without_proof_ms), (0, 0));
    assert_eq!((rules.reuse, rules.response), (Reuse::FirstDispute, Response::Revoke));
}

#[test]
fn a_client_may_be_less_strict_than_the_policy() {
    let policy = Policy::parse("[theft_detection]\nlevel = \"strict\"").unwrap();
    assert_eq!(policy.rules(ClientKind::Web, None, None).reuse, Reuse::FirstDispute);
    assert_eq!(policy.rules(ClientKind::Web, Some(Level::Balanced), None), Rules::of_kind(ClientKind::Web));
}

#[test]
fn strict_closes_windows_that_the_document_opens() {
    let policy = Policy::parse("[client_kinds.web]\nretry.siblings = \"1m\"").unwrap();
    assert_eq!(policy.rules(ClientKind::Web, None, None).siblings_ms, 60_000);
    assert_eq!(policy.rules(ClientKind::Web, Some(Level::Strict), None).siblings_ms, 0);
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_what_is_allowed() {
    let error = Policy::parse("[client_kinds.web]\nacess_token.lifetime = \"20s\"").unwrap_err();
    let PolicyError::Malformed { line, message, .. } = &error else { panic!("{error}") };
    assert_eq!(*line, 2);
    assert!(message.contains("access_token"), "{message}");
}

#[test]
fn contradictions_and_no_durations_are_refused_by_name() {
    for (document, key) in [
        ("[client_kinds.web]\nsession.idle = \"91d\"", "client_kinds.web.session.idle"),
        ("[client_kinds.agent]\naccess_token.lifetime = \"0s\"", "client_kinds.agent.access_token.lifetime"),
        ("[client_kinds.web]\naccess_token.lifetime = \"soon\"", "client_kinds.web.access_token.lifetime"),
    ] {
        let error = Policy::parse(document).unwrap_err();
        let PolicyError::Value { key: named, .. } = &error else { panic!("{error}") };
        assert_eq!(named, key);
    }
}

proptest! {
    #[test]
    fn durations_are_read_back(number in 0_u64..1_000_000, unit in prop::sample::select(&[('s', 1_000_u64), ('m', 60_000), ('h', 3_600_000)][..])) {
        prop_assert_eq!(parse_duration_ms(&format!("{number}{}", unit.0)), Ok(number * unit.1));
    }

    #[test]
    fn any_text_is_a_policy_or_an_error(text in ".*") {
        let _ = Policy::parse(&text);
        let _ = parse_duration_ms(&text);
    }
}
