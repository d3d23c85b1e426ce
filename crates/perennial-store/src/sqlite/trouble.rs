//! What can go wrong inside the engine, and whom it concerns: one job, or everybody who waits for the commit.

use rusqlite::ErrorCode;

use crate::StoreError;

/// Why one job, or a whole commit, was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error("{what} is damaged: {why}")]
    Damaged { what: String, why: String },
    #[error("the session's id is too close to another's")]
    SidTaken,
}

impl Trouble {
    pub(super) fn damaged(what: impl Into<String>, why: &dyn std::fmt::Display) -> Self {
        Self::Damaged { what: what.into(), why: why.to_string() }
    }

    /// Whether nothing more can be done in this transaction, for anybody: the disk, memory or a lock failed.
    pub(super) fn ends_transaction(&self) -> bool {
        match self {
            Self::Sql(error) => !matches!(
                error.sqlite_error_code(),
                None | Some(
                    ErrorCode::DatabaseCorrupt
                        | ErrorCode::TooBig
                        | ErrorCode::ConstraintViolation
                        | ErrorCode::TypeMismatch
                )
            ),
            Self::Damaged { .. } | Self::SidTaken => false,
        }
    }

    /// The same for each of several callers; [`StoreError`] keeps no source to share.
    pub(super) fn to_store_error(&self) -> StoreError {
        match self {
            Self::Sql(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => StoreError::Full,
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    StoreError::Damaged { what: "the store's file".into(), why: error.to_string() }
                }
                // Errors of rusqlite's own, not SQLite's: a column does not hold what was written to it.
                None => StoreError::Damaged { what: "a row of the store".into(), why: error.to_string() },
                Some(_) => StoreError::Unavailable(error.to_string()),
            },
            Self::Damaged { what, why } => StoreError::Damaged { what: what.clone(), why: why.clone() },
            Self::SidTaken => StoreError::SidTaken,
        }
    }
}

impl From<rusqlite::types::FromSqlError> for Trouble {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Self::damaged("a row of the store", &error)
    }
}
