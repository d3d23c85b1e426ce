//! The control socket: a running server is commanded by the same system user.
