//! A tower layer for APIs: local validation of access tokens from any issuer.
