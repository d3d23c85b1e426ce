//! Scopes: what a session, or one access token of it, may do (RFC 6749, 3.3).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A set of scope tokens, kept as their space-separated text in the order given, without repetition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scopes(Arc<str>);

/// A `scope` value with a character that RFC 6749, 3.3 does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope has a character that RFC 6749, 3.3 does not allow")]
pub struct MalformedScope;

impl Scopes {
    /// No scope at all.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::from(""))
    }

    /// Reads a space-separated list; repeated tokens count once.
    ///
    /// # Errors
    /// A token has a character outside `%x21 / %x23-5B / %x5D-7E` (RFC 6749, 3.3).
    pub fn parse(text: &str) -> Result<Self, MalformedScope> {
        let mut tokens: Vec<&str> = Vec::new();
        for token in text.split(' ').filter(|token| !token.is_empty()) {
            if !token.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
                return Err(MalformedScope);
            }
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        Ok(Self(tokens.join(" ").into()))
    }

    /// The scope tokens, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|token| !token.is_empty())
    }

    /// Whether `token` is one of them.
    #[must_use]
    pub fn contains(&self, token: &str) -> bool {
        self.iter().any(|own| own == token)
    }

    /// Whether every one of these is among `wider`.
    #[must_use]
    pub fn is_within(&self, wider: &Self) -> bool {
        self.iter().all(|token| wider.contains(token))
    }

    /// Those of these that are also in `other`.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let kept: Vec<&str> = self.iter().filter(|token| other.contains(token)).collect();
        Self(kept.join(" ").into())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The space-separated text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Scopes {
    type Error = MalformedScope;
    fn try_from(text: String) -> Result<Self, MalformedScope> {
        Self::parse(&text)
    }
}

impl From<Scopes> for String {
    fn from(scopes: Scopes) -> Self {
        scopes.0.as_ref().into()
    }
}
