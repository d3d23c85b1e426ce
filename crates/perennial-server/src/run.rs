//! A whole server, from its configuration to the last answer before it stops.
