//! From a violation to a shorter one: as few kinds of fault, and as few steps, as still lead there.

use perennial_testkit::Seed;

use crate::world::{Faults, Plan, Trouble, Violation, World};

/// How many seeds are tried before a kind of fault counts as needed.
const SEEDS_TRIED: u64 = 30;

/// A plan with less in it that still breaks the same invariant, and the shortest walk to it that was found.
#[derive(Clone, Debug)]
pub struct Narrowed {
    /// What is left of the plan.
    pub plan: Plan,
    /// The violation under it; its seed replays it.
    pub violation: Violation,
}

impl Plan {
    /// Narrows a violation that was seen under this plan, leaving out one kind of fault after the other.
    ///
    /// A plan with less in it rolls other dice, so other seeds are tried as well; the seed to replay stands in
    /// the violation.
    #[must_use]
    pub fn narrow(&self, seen: Violation) -> Narrowed {
        let most_steps = seen.step.saturating_mul(2).max(1_000);
        let mut narrowed = Narrowed { plan: self.clone(), violation: seen };
        for faults in without_one(&self.faults) {
            let plan = Self { faults: faults(&narrowed.plan.faults), ..narrowed.plan.clone() };
            if plan == narrowed.plan {
                continue;
            }
            if let Some(violation) = plan.shortest(&narrowed.violation, most_steps) {
                narrowed = Narrowed { plan, violation };
            }
        }
        if let Some(violation) = narrowed.plan.shortest(&narrowed.violation, narrowed.violation.step) {
            narrowed.violation = violation;
        }
        narrowed
    }

    /// The shortest way to the same invariant's violation, over some seeds.
    fn shortest(&self, like: &Violation, most_steps: u64) -> Option<Violation> {
        let seeds = (0..SEEDS_TRIED).map(|n| if n == 0 { like.seed } else { like.seed.nth(n) });
        seeds
            .filter_map(|seed: Seed| World::new(seed, self.clone()).run(most_steps).err())
            .filter(|violation| violation.invariant == like.invariant)
            .min_by_key(|violation| violation.step)
    }
}

type Less = Box<dyn Fn(&Faults) -> Faults>;

/// Each leaves one kind of fault out of what it is given.
fn without_one(of: &Faults) -> Vec<Less> {
    let mut all: Vec<Less> = vec![
        Box::new(|faults| Faults { mangled_answers: 0, ..faults.clone() }),
        Box::new(|faults| Faults { failing_files: 0, ..faults.clone() }),
        Box::new(|faults| Faults { duplicates: 0, ..faults.clone() }),
        Box::new(|faults| Faults { delays: 0, ..faults.clone() }),
        Box::new(|faults| Faults { lost_requests: 0, ..faults.clone() }),
        Box::new(|faults| Faults { lost_answers: 0, ..faults.clone() }),
    ];
    for trouble in Trouble::ALL.into_iter().filter(|trouble| of.troubles.contains(trouble)) {
        all.push(Box::new(move |faults| {
            let troubles = faults.troubles.iter().copied().filter(|other| *other != trouble).collect();
            Faults { troubles, ..faults.clone() }
        }));
    }
    all
}
