use perennial_core::Generation;
use perennial_core::session::SessionSecret;
use perennial_core::session::token::{KeyRing, NotOpened, ServerKey, TokenKind};
use proptest::prelude::*;

use crate::samples::{ring, secret, sid};

#[test]
fn the_same_generation_gives_the_same_token() {
    let once = ring().mint(TokenKind::Refresh, &secret(), sid(), Generation(3));
    let again = ring().mint(TokenKind::Refresh, &secret(), sid(), Generation(3));
    assert_eq!(once, again);
    assert!(once.starts_with("prn_rt_") && once.len() == 79, "{once}");
}

#[test]
fn a_minted_token_opens_to_what_it_was_minted_for() {
    let text = ring().mint(TokenKind::Refresh, &secret(), sid(), Generation(3));
    let opened = ring().open(TokenKind::Refresh, &text).unwrap();
    assert_eq!((opened.sid, opened.generation), (sid(), Generation(3)));
    assert!(opened.is_proven_by(&secret()));
}

#[test]
fn a_leaked_server_key_makes_no_usable_token() {
    let by_thief = ring().mint(TokenKind::Refresh, &SessionSecret([1; 32]), sid(), Generation(3));
    let opened = ring().open(TokenKind::Refresh, &by_thief).unwrap();
    assert!(!opened.is_proven_by(&secret()));
}

#[test]
fn a_code_is_no_refresh_token_and_the_other_way_round() {
    let code = ring().mint(TokenKind::Code, &secret(), sid(), Generation(0));
    assert_eq!(ring().open(TokenKind::Refresh, &code).unwrap_err(), NotOpened::Malformed);
    let disguised = code.replace("prn_ac_", "prn_rt_");
    assert_eq!(ring().open(TokenKind::Refresh, &disguised).unwrap_err(), NotOpened::Forged);
}

#[test]
fn a_retired_server_key_still_opens_what_it_tagged() {
    let before = KeyRing::new(ServerKey { id: 1, secret: [1; 32] }, vec![]);
    let text = before.mint(TokenKind::Refresh, &secret(), sid(), Generation(3));
    assert!(ring().open(TokenKind::Refresh, &text).is_ok());
}

#[test]
fn a_key_newer_than_the_node_knows_is_the_nodes_trouble_not_the_clients() {
    let newer = KeyRing::new(ServerKey { id: 3, secret: [3; 32] }, vec![]);
    let text = newer.mint(TokenKind::Refresh, &secret(), sid(), Generation(3));
    assert_eq!(ring().open(TokenKind::Refresh, &text).unwrap_err(), NotOpened::KeyNotYetKnown { id: 3 });
}

proptest! {
    #[test]
    fn any_change_of_one_character_is_refused(at in 0_usize..72, other in "[A-Za-z0-9_-]") {
        let text = ring().mint(TokenKind::Refresh, &secret(), sid(), Generation(3));
        let at = "prn_rt_".len() + at;
        prop_assume!(text[at..=at] != other);
        let mangled = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        prop_assert!(ring().open(TokenKind::Refresh, &mangled).is_err());
    }

    #[test]
    fn whatever_comes_is_refused_without_a_panic(text in ".*") {
        prop_assert!(ring().open(TokenKind::Refresh, &text).is_err());
        let prefixed = format!("prn_rt_{text}");
        prop_assert!(ring().open(TokenKind::Refresh, &prefixed).is_err());
    }

    #[test]
    fn every_length_but_its_own_is_refused(cut in 0_usize..79) {
        let text = ring().mint(TokenKind::Refresh, &secret(), sid(), Generation(3));
        prop_assert!(ring().open(TokenKind::Refresh, &text[..cut]).is_err());
        let longer = format!("{text}A");
        prop_assert!(ring().open(TokenKind::Refresh, &longer).is_err());
    }
}
