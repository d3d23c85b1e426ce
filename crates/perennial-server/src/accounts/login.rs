//! The name that an account signs in with, in the one form in which it is kept and looked up.

/// A login: trimmed, lower-cased, 1 to 128 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login(String);

/// A text that is no login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a login has 1 to {LONGEST_LOGIN} characters, and no control characters: choose another")]
pub struct MalformedLogin;

/// The longest login, in characters.
pub(crate) const LONGEST_LOGIN: usize = 128;

impl Login {
    /// Reads a login as somebody typed it.
    pub(crate) fn parse(text: &str) -> Result<Self, MalformedLogin> {
        // Four bytes are the most that a character takes: what is longer needs no lower-casing to be refused.
        if text.len() > 4 * LONGEST_LOGIN + 64 {
            return Err(MalformedLogin);
        }
        let login = text.trim().to_lowercase();
        let length = login.chars().count();
        if length == 0 || length > LONGEST_LOGIN || login.chars().any(char::is_control) {
            return Err(MalformedLogin);
        }
        Ok(Self(login))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Login> for String {
    fn from(login: Login) -> Self {
        login.0
    }
}
