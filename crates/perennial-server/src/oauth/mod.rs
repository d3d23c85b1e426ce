//! The OAuth 2.1 and OpenID Connect endpoints, one file each.

pub(crate) mod code;
