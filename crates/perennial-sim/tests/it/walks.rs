//! Random walks. Each prints its seed when it fails; `PERENNIAL_SEED` replays a run.

use perennial_core::policy::{ClientKind, Rules};
use perennial_core::session::{Holder, Jkt};
use perennial_sim::{Counts, Plan, Seed, World};
use perennial_testkit::cases;

const DAY_MS: u64 = 86_400_000;

fn walk(seed: Seed, plan: Plan, steps: u64) -> Counts {
    let mut world = World::new(seed, plan);
    if let Err(violation) = world.run(steps).and_then(|()| world.settle()) {
        panic!("{violation}");
    }
    world.counts()
}

fn walks(plan: &Plan, usual: u32, steps: u64) -> Counts {
    let seed = Seed::announce();
    let mut all = Counts::default();
    for n in 0..cases(usual) {
        add(&mut all, &walk(seed.nth(n.into()), plan.clone(), steps));
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
