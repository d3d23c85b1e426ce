//! `perennial.toml`, the environment and the flags, joined and checked.
