//! Worlds around the real decision and the real client engine: losses, crashes, failovers, thieves.
