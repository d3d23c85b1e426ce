//! What decides: `cargo xtask test`, `check` and `soak`.

fn main() {}
