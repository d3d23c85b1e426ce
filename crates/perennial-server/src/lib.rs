//! The OAuth 2.1 / OpenID Connect server whose sessions outlive their tokens.
