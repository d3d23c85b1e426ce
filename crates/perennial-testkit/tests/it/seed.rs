//! Seeds replay.

use perennial_testkit::Seed;

#[test]
fn the_same_seed_draws_the_same_numbers_on_every_machine() {
    let mut rng = Seed(1_234_567).rng();
    // The reference values of SplitMix64 for this seed.
    let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
    assert_eq!(expected, std::array::from_fn(|_| rng.next_u64()));
}

#[test]
fn a_seed_reads_back_what_it_prints() {
    let seed = Seed(0x1f2e);
    assert_eq!(Seed::parse(&seed.to_string()), Some(seed));
    assert_eq!(Seed::parse(" 7982\n"), Some(seed));
    assert_eq!(Seed::parse("0xnot"), None);
}

#[test]
fn draws_stay_within_their_limits() {
    let mut rng = Seed::announce().rng();
    for _ in 0..1_000 {
        assert!(rng.below(7) < 7);
        assert!(rng.chance(100));
        assert!(!rng.chance(0));
    }
    assert_eq!(rng.below(0), 0);
    assert_eq!(rng.pick::<u8>(&[]), None);
    let mut items = [1, 2, 3, 4, 5];
    rng.shuffle(&mut items);
    items.sort_unstable();
    assert_eq!(items, [1, 2, 3, 4, 5]);
}

#[test]
fn one_of_many_draws_its_own_numbers() {
    let seed = Seed(1);
    assert_eq!(seed.nth(3), seed.nth(3));
    assert_ne!(seed.nth(3), seed.nth(4));
    assert_ne!(Seed(2).nth(3), seed.nth(3));
}
