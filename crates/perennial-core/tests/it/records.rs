use perennial_core::Generation;
use perennial_core::session::evidence::{Class, LateNote};
use perennial_core::session::{EndCause, HOT_LEN, Hot, MalformedRecord, Reason, State};
use perennial_core::time::{ServiceMillis, UnixMillis};
use proptest::prelude::*;

use crate::samples::session_at;

fn states() -> impl Strategy<Value = State> {
    let cause = prop::sample::select(EndCause::ALL);
    (0_u8..4, cause, 0_u64..1 << 48).prop_map(|(which, cause, at)| match which {
        0 => State::Active,
        1 => State::Ending { cause, until: ServiceMillis(at) },
        2 => State::Contested { until: ServiceMillis(at) },
        _ => State::Ended { cause, at: UnixMillis(at) },
    })
}

prop_compose! {
    fn hots()(
        rotations in 1_u32..9,
        state in states(),
        flags in any::<(bool, bool)>(),
        bound_from in proptest::option::of(0_u32..99),
        times in (0_u64..1 << 48, 0_u64..1 << 48, 0_u64..1 << 48),
        evidence in any::<u16>(),
        late in proptest::option::of((any::<u32>(), 0_u8..3, 0_u64..1 << 48)),
    ) -> Hot {
        Hot {
            state,
            current_presented: flags.0,
            stranger_seen: flags.1,
            bound_from: bound_from.map(Generation),
            rotated_at: ServiceMillis(times.0),
            idle_at: ServiceMillis(times.1),
            seen_at: UnixMillis(times.2),
            evidence,
            late: late.map(|(of, class, at)| LateNote {
                generation: Generation(of),
                class: [Class::Known, Class::NewNetwork, Class::NewSoftware][usize::from(class)],
                at: ServiceMillis(at),
            }),
            ..session_at(rotations).hot
        }
    }
}

proptest! {
    #[test]
    fn a_record_says_what_was_written(hot in hots()) {
        prop_assert_eq!(Hot::decode(&hot.encode()), Ok(hot));
    }

    #[test]
    fn a_flipped_bit_is_noticed(hot in hots(), byte in 0..HOT_LEN, bit in 0_u8..8) {
        let mut bytes = hot.encode();
        bytes[byte] ^= 1 << bit;
        prop_assert_eq!(Hot::decode(&bytes), Err(MalformedRecord::Damaged));
    }

    #[test]
    fn whatever_stands_there_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), HOT_LEN)) {
        let bytes: [u8; HOT_LEN] = bytes.try_into().unwrap();
        prop_assert!(Hot::decode(&bytes).is_err());
    }
}

#[test]
fn a_record_is_under_two_hundred_bytes() {
    const { assert!(HOT_LEN < 200) }
}

#[test]
fn every_reason_and_cause_has_a_number_and_a_name_of_its_own() {
    for reason in Reason::ALL {
        assert_eq!(Reason::of_code(reason.code()), Some(*reason));
    }
    for cause in EndCause::ALL {
        assert_eq!(EndCause::of_code(cause.code()), Some(*cause));
    }
    let mut names: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Reason::ALL.len());
}
