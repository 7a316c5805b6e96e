//! What can go wrong.

use std::path::PathBuf;

/// Why a database could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be opened or made.
    #[error("cannot open {path}: {source}; check the folder's permissions and free space")]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// It was written by a newer version of the program.
    #[error(
        "{path} was written by a newer version of the cockpit (its layout is {found}, this one knows up to {known}); \
         install that version again, or move the file away to begin anew"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its layout's version.
        found: i64,
        /// The newest one known here.
        known: i64,
    },
    /// It is damaged and could not be renamed.
    #[error("{path} is damaged and cannot be set aside: {source}; move it away")]
    SetAside {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A statement failed.
    #[error("the database failed: {0}")]
    Sql(#[from] rusqlite::Error),
    /// The change holds until the program ends, and is not on the disk.
    #[error("the change is not saved: {why}")]
    NotDurable {
        /// Why not.
        why: String,
    },
    /// It is not open now; the writer tries again by itself.
    #[error("the database is not available: {why}")]
    Unavailable {
        /// Why not.
        why: String,
    },
    /// Too much waits to be written.
    #[error("too much waits to be written; send it again in a moment")]
    Busy,
    /// The writer has ended.
    #[error("the writer has ended")]
    Ended,
}

impl Error {
    /// Whether the file's content is at fault, so that it should be set aside.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Sql(source) | Self::Open { source, .. } => is_damage(source),
            _ => false,
        }
    }
}

pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
    )
}
