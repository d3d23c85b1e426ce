//! Random walks. Each prints its seed when it fails; `PERENNIAL_SEED` replays a run.

use perennial_core::policy::{Level, Response, Rules};
use perennial_core::session::{Holder, Jkt};
use perennial_sim::{Counts, Plan, Seed, Trouble, World};
use perennial_testkit::cases;

const DAY_MS: u64 = 86_400_000;

fn walk(seed: Seed, plan: &Plan, steps: u64) -> Counts {
    let mut world = World::new(seed, plan.clone());
    if let Err(violation) = world.run(steps).and_then(|()| world.settle()) {
        let seed = violation.seed;
        let narrowed = plan.narrow(violation);
        panic!("seed {seed}, narrowed to {:?}\n{}", narrowed.plan, narrowed.violation);
    }
    world.counts()
}

fn walks(plan: &Plan, usual: u32, steps: u64) -> Counts {
    let seed = Seed::announce();
    let mut all = Counts::default();
    for n in 0..cases(usual) {
        add(&mut all, &walk(seed.nth(n.into()), plan, steps));
    }
    eprintln!("{all:?}");
    all
}

fn add(all: &mut Counts, one: &Counts) {
    let Counts {
        steps,
        passed_ms,
        handed_out,
        unserved,
        sign_ins,
        troubles,
        kills,
        failovers,
        lost_writes,
        answers,
    } = one;
    all.steps += steps;
    all.passed_ms += passed_ms;
    all.handed_out += handed_out;
    all.unserved += unserved;
    all.sign_ins += sign_ins;
    all.troubles += troubles;
    all.kills += kills;
    all.failovers += failovers;
    all.lost_writes += lost_writes;
    for (reason, count) in answers {
        *all.answers.entry(reason).or_default() += count;
    }
}

#[test]
fn nobody_is_signed_out_while_everything_goes_wrong() {
    let all = walks(&Plan::rough(), 200, 3_000);
    let reasons = ["rotated", "replayed_by_retry_key", "fast_forwarded", "stale_by_retry_key", "ended"];
    for reason in reasons {
        assert!(all.answers.contains_key(reason), "the walks never came to {reason}: {all:?}");
    }
    assert!(all.lost_writes > 0 && all.kills > 0, "{all:?}");
}

#[test]
fn two_dozen_processes_on_one_credential_stay_signed_in() {
    let plan = Plan { processes: 24, ..Plan::rough() };
    walks(&plan, 20, 10_000);
}

#[test]
fn many_devices_do_not_disturb_each_other() {
    walks(&Plan { devices: 4, processes: 2, ..Plan::rough() }, 40, 5_000);
}

#[test]
fn confidential_client_is_never_signed_out() {
    let all = walks(&Plan { holder: Holder::Client, ..Plan::rough() }, 100, 3_000);
    assert!(all.answers.contains_key("resynced_by_client"), "{all:?}");
}

#[test]
fn client_with_a_key_is_bound_and_never_signed_out() {
    let all = walks(&Plan { holder: Holder::Key(Jkt([7; 32])), ..Plan::rough() }, 100, 3_000);
    assert!(
        all.answers.contains_key("bound") && all.answers.contains_key("replayed_by_bound_key"),
        "{all:?}"
    );
}

#[test]
fn nothing_outlives_a_short_absolute_lifetime() {
    let rules = Rules { absolute_ms: DAY_MS, ..Plan::rough().rules };
    let all = walks(&Plan { rules, ..Plan::rough() }, 100, 3_000);
    assert!(all.answers.contains_key("absolute_expired"), "{all:?}");
}

#[test]
fn letter_of_rfc_9700_costs_a_client_with_retry_keys_nothing() {
    let rules = Plan::rough().rules.at_level(Level::Strict);
    let rules = Rules { response: Response::Revoke, ..rules };
    walks(&Plan { rules, ..Plan::rough() }, 100, 3_000);
}

#[test]
fn calm_world_needs_no_replay() {
    let all = walks(&Plan::calm(), 20, 3_000);
    let reasons: Vec<_> = all.answers.keys().copied().collect();
    assert_eq!(reasons, ["rotated"]);
    assert_eq!((all.sign_ins, all.unserved), (20, 0));
}

#[test]
fn same_seed_twice_is_the_same_world() {
    let seed = Seed::announce();
    let run = |plan: Plan, seed| {
        let mut world = World::new(seed, plan);
        world.run(5_000).and_then(|()| world.settle()).unwrap_or_else(|violation| panic!("{violation}"));
        (world.trace_hash(), world.counts())
    };
    assert_eq!(run(Plan::rough(), seed), run(Plan::rough(), seed));
    assert_ne!(run(Plan::rough(), seed).0, run(Plan::rough(), seed.nth(1)).0);
    assert_ne!(run(Plan::rough(), seed).0, run(Plan::calm(), seed).0);
}

#[test]
fn nobody_idles_out_early() {
    let mut plan = Plan::rough();
    plan.rules.idle_ms = 3_600_000;
    // A failover takes the idle deadline of the rotations that it loses with it; nothing but the token knows
    // better, and lifetimes come before it (session model, step 4).
    plan.faults.troubles.retain(|trouble| *trouble != Trouble::FailedOver);
    let all = walks(&plan, 200, 3_000);
    assert!(all.answers.contains_key("idle_expired"), "{all:?}");
}
