//! Rules broken on purpose: each must be noticed, by the invariant that is there for it.

use perennial_core::policy::Rules;
use perennial_sim::{Plan, Planted, Seed, Violation, World};
use perennial_testkit::cases;

const DAY_MS: u64 = 86_400_000;

/// The first violation that any of the walks comes to.
fn noticed(plan: &Plan) -> Violation {
    let seed = Seed::announce();
    (0..cases(200))
        .find_map(|n| {
            let mut world = World::new(seed.nth(n.into()), plan.clone());
            world.run(3_000).and_then(|()| world.settle()).err()
        })
        .unwrap_or_else(|| panic!("nobody noticed {:?}", plan.planted))
}

fn rough_with(planted: Planted) -> Plan {
    Plan { planted: Some(planted), ..Plan::rough() }
}

#[test]
fn predecessor_taken_for_the_current_token_forks_the_chain() {
    assert_eq!(noticed(&rough_with(Planted::PredecessorRotated)).invariant, 1);
}

#[test]
fn retry_key_drawn_for_each_try_makes_an_owner_look_like_two() {
    assert_eq!(noticed(&rough_with(Planted::RetryKeyPerTry)).invariant, 2);
}

#[test]
fn absolute_lifetime_that_is_ignored_is_outlived() {
    let rules = Rules { absolute_ms: DAY_MS, ..Plan::rough().rules };
    let plan = Plan { rules, ..rough_with(Planted::AbsoluteLifetimeIgnored) };
    assert_eq!(noticed(&plan).invariant, 5);
}

#[test]
fn store_without_a_version_check_undoes_what_was_acknowledged() {
    let seen = noticed(&rough_with(Planted::VersionUnchecked)).invariant;
    assert!([5, 7].contains(&seen), "INV-{seen}");
}

#[test]
fn row_without_retry_keys_answers_the_same_request_differently() {
    assert_eq!(noticed(&rough_with(Planted::RetryKeysForgotten)).invariant, 6);
}

#[test]
fn answer_before_the_commit_acknowledges_what_is_not_durable() {
    assert_eq!(noticed(&rough_with(Planted::AnsweredBeforeCommit)).invariant, 7);
}

#[test]
fn tokens_given_out_and_never_stored_are_noticed() {
    assert_eq!(noticed(&rough_with(Planted::TokensNotStored)).invariant, 7);
}

#[test]
fn retriable_refusal_that_moves_a_deadline_is_noticed() {
    assert_eq!(noticed(&rough_with(Planted::RefusalExtends)).invariant, 8);
}

#[test]
fn violation_names_its_invariant_its_seed_and_what_led_to_it() {
    let plan = rough_with(Planted::AnsweredBeforeCommit);
    let violation = noticed(&plan);
    let text = violation.to_string();
    assert!(text.starts_with("INV-7 does not hold: "), "{text}");
    assert!(text.contains(&violation.seed.to_string()) && text.contains("sent request"), "{text}");
    let mut again = World::new(violation.seed, plan);
    let replayed = again.run(3_000).and_then(|()| again.settle()).expect_err("the seed leads there again");
    assert_eq!(replayed, violation);
}

#[test]
fn violation_is_narrowed_to_the_faults_that_it_needs() {
    let plan = rough_with(Planted::AnsweredBeforeCommit);
    let seen = noticed(&plan);
    let narrowed = plan.narrow(seen.clone());
    assert_eq!(narrowed.violation.invariant, 7);
    assert!(narrowed.violation.step <= seen.step, "{}", narrowed.violation);
    assert!(narrowed.plan.faults.troubles.is_empty(), "an answer before its commit needs no trouble");
    assert_eq!(narrowed.plan.faults.lost_answers, 0);
    let mut again = World::new(narrowed.violation.seed, narrowed.plan);
    assert_eq!(again.run(narrowed.violation.step), Err(narrowed.violation));
}
