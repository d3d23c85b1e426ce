//! Random bytes from the operating system: for ids, salts and secrets.

/// `N` of them.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has a random source once it has booted");
    bytes
}
