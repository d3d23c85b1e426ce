//! Rules broken on purpose: each must be noticed, by the invariant that is there for it.
