//! This module says what SQLite's errors mean to a caller.

use sqlx::error::DatabaseError;

use crate::{Error, ErrorKind};

/// This is the fix for what is missing and may not be created.
pub(super) const CREATE_IT: &str = "allow leasehold to create it, or apply `leasehold schema`";

const NO_DATABASE: &str = "the file is not an SQLite database; it was not changed";
const ANOTHER_FILE: &str = "name another file";

/// These are primary result codes, see <https://www.sqlite.org/rescode.html>.
mod code {
    pub(super) const ERROR: i32 = 1;
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NOMEM: i32 = 7;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const MISMATCH: i32 = 20;
    pub(super) const AUTH: i32 = 23;
    pub(super) const NOTADB: i32 = 26;
}

/// Describes an error that left the database as it was: of a read, or before a write took place.
pub(super) fn not_written(error: sqlx::Error) -> Error {
    let (kind, message, fix) = classify(&error);
    let described = Error::new(kind, message).with_source(error);
    if fix.is_empty() { described } else { described.with_fix(fix) }
}

/// Describes an error of a statement that writes, and that may commit by itself. SQLite rolls it
/// back, which after an I/O error is more than can be promised. An error that is not of SQLite says
/// nothing about the statement.
pub(super) fn writing(error: sqlx::Error) -> Error {
    match primary(&error) {
        Some(code::NOMEM | code::IOERR) | None => unknown(error),
        Some(_) => not_written(error),
    }
}

/// Describes an error of the commit itself.
pub(super) fn committing(error: sqlx::Error) -> Error {
    if is_busy(&error) { not_written(error) } else { unknown(error) }
}

/// Returns whether another connection has the database; the same call may succeed in a moment.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary(error), Some(code::BUSY | code::LOCKED))
}

/// Returns the error of a file that is not a database of SQLite.
pub(super) fn no_database() -> Error {
    Error::new(ErrorKind::Corrupt, NO_DATABASE).with_fix(ANOTHER_FILE)
}

fn unknown(error: sqlx::Error) -> Error {
    Error::new(ErrorKind::OutcomeUnknown, "the write may or may not have been committed")
        .with_source(error)
        .with_fix("check the disk")
}

/// Returns the primary code of an error of SQLite's; sqlx gives the extended one.
fn primary(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error().and_then(DatabaseError::code)?.parse().ok()?;
    Some(extended & 0xff)
}

fn classify(error: &sqlx::Error) -> (ErrorKind, &'static str, &'static str) {
    use ErrorKind::{Corrupt, Denied, Invalid, Unavailable};
    if let Some(code) = primary(error) {
        return match code {
            code::BUSY | code::LOCKED => (
                Unavailable,
                "the database is locked by another connection",
                "does another process keep a transaction open?",
            ),
            code::READONLY => (
                Denied,
                "the database is read-only",
                "let this user write the file and its folder, and open it for writing",
            ),
            code::CANTOPEN => (
                Denied,
                "the database cannot be opened or created",
                "let this user write the file and its folder",
            ),
            code::PERM | code::AUTH => (Denied, "access denied", "give this user the right to it"),
            code::NOTADB => (Corrupt, NO_DATABASE, ANOTHER_FILE),
            code::CORRUPT => {
                (Corrupt, "the database file is damaged", "check it with PRAGMA integrity_check")
            }
            code::ERROR => (
                Corrupt,
                "the table is missing or is not as leasehold creates it",
                "was it changed at run time?",
            ),
            code::CONSTRAINT | code::MISMATCH => (Corrupt, "the row has invalid values", ""),
            code::FULL => {
                (Unavailable, "the disk is full, and nothing was written", "free some space")
            }
            _ => (Unavailable, "the database returned an error", ""),
        };
    }
    match error {
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            (Invalid, "invalid database path", "")
        }
        sqlx::Error::PoolTimedOut => {
            (Unavailable, "no pool connection became free in time", "are all of them in use?")
        }
        sqlx::Error::PoolClosed => (Unavailable, "the pool of connections is closed", ""),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::RowNotFound => (Corrupt, "the database returned an invalid value", ""),
        _ => (Unavailable, "the connection to the database failed", ""),
    }
}
