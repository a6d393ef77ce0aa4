//! This module says what PostgreSQL's errors mean to a caller.

use std::borrow::Cow;
use std::io;

use sqlx::Postgres;
use sqlx::error::DatabaseError;

use crate::sql::{Description, ErrorCodes, error};
use crate::{Error, ErrorKind};

/// This message says why nothing can be written here.
pub(super) const READ_ONLY: &str = "the server accepts no writes: it is a replica, or \
     default_transaction_read_only is on";
/// This is the fix for [`READ_ONLY`].
pub(super) const USE_PRIMARY: &str = "use the primary server's address in the URL";

/// This message says why no table can be created.
pub(super) const NO_SCHEMA: &str = "there is no schema to create the table in";
/// This is the fix for [`NO_SCHEMA`].
pub(super) const SET_SEARCH_PATH: &str = "set the user's search_path to one that exists";

/// Describes an error that left the database as it was.
pub(super) fn not_written(error: sqlx::Error) -> Error {
    error::not_written::<Postgres>(error)
}

/// Returns the five characters of an error of the server's.
pub(super) fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(DatabaseError::code).map(Cow::into_owned)
}

fn is_any(error: &sqlx::Error, codes: &[&str]) -> bool {
    code(error).is_some_and(|code| codes.contains(&code.as_str()))
}

/// Returns whether the statement was rolled back because of what it does beside its work: the
/// notification queue is full, or this user may not send notifications or call `set_config`.
pub(super) fn refuses_addition(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    source.is_some_and(|source| is_any(source, &["54000", "42501"]))
}

impl ErrorCodes for Postgres {
    const OTHER_PROTOCOL: &'static str = "the server does not speak the PostgreSQL protocol";
    const CHECK_SERVER: &'static str = "does a PostgreSQL server listen at that host and port?";
    const CHECK_TLS: &'static str =
        "check sslmode and sslrootcert in the URL and the server's certificate";
    const CHECK_FILES: &'static str =
        "check sslrootcert, sslcert, sslkey, and the host if it is a socket";

    fn describe(error: &sqlx::Error) -> Option<Description> {
        use ErrorKind::{Corrupt, Denied, Invalid, Unavailable};
        Some(match code(error)?.as_str() {
            "28P01" | "28000" => (
                Denied,
                "the server refuses this user",
                "check the user and password, and the server's pg_hba.conf",
            ),
            "42501" => (
                Denied,
                "the user lacks a privilege",
                "GRANT SELECT, INSERT, UPDATE on the table of locks to it, DELETE to prune, or CREATE \
                 on the schema to let it create that",
            ),
            "25006" => (Unavailable, READ_ONLY, USE_PRIMARY),
            "3D000" => (Invalid, "the database does not exist", "create it, or name another"),
            "3F000" => (Invalid, NO_SCHEMA, SET_SEARCH_PATH),
            "42P01" | "42703" | "42804" | "42883" | "42P10" | "42809" | "0A000" => (
                Corrupt,
                "the lock table is missing or does not match leasehold's schema",
                "was it changed at run time?",
            ),
            "26000" | "42P05" | "08P01" => (
                Unavailable,
                "prepared statements do not survive on this connection",
                "PgBouncer in transaction mode needs version 1.21 and max_prepared_statements",
            ),
            "40001" | "40P01" | "55P03" => (
                Unavailable,
                "conflicting transactions",
                "is the row or table locked by a transaction, ALTER TABLE or backup?",
            ),
            "57014" => (Unavailable, "the server cancelled the statement", "is it overloaded?"),
            "53100" => (Unavailable, "the server's disk is full", "free some space"),
            "53300" | "53400" => (
                Unavailable,
                "the server accepts no more connections",
                "raise max_connections, or use a pooler",
            ),
            "57P01" | "57P02" | "57P03" | "57P05" => {
                (Unavailable, "the server is shutting down or starting up", "")
            }
            "XX001" | "XX002" => {
                (Corrupt, "the server's data is damaged", "check the server's log")
            }
            code if code.starts_with("22") || code.starts_with("23") => (
                Corrupt,
                "the row has invalid values",
                "repair or delete it; fencing tokens keep growing",
            ),
            _ => return None,
        })
    }

    fn describe_unsent(error: &sqlx::Error) -> Option<Description> {
        // Poolers give most of their reasons this code.
        is_any(error, &["08P01"]).then_some((
            ErrorKind::Unavailable,
            "the server or a pooler refused the session",
            "does a pooler reject a setting in the URL's options?",
        ))
    }

    /// An error of the server's means that its transaction was rolled back, except for those that
    /// end the session, which can come after the commit and before the answer, and those that a
    /// pooler gives in the server's place. A session that the server ended because it was idle
    /// (57P05) did nothing.
    fn leaves_doubt(error: &sqlx::Error) -> Option<bool> {
        let code = code(error)?;
        Some(matches!(code.as_str(), "40003" | "57P01" | "57P02") || code.starts_with("08"))
    }

    fn is_conflict(error: &sqlx::Error) -> bool {
        is_any(error, &["40001", "40P01"])
    }

    /// The cause is a `DEALLOCATE ALL` of the application's, a pooler, or a column that was changed.
    fn is_stale_statement(error: &sqlx::Error) -> bool {
        is_any(error, &["26000", "42P05", "0A000"])
    }

    fn is_creation_race(error: &sqlx::Error) -> bool {
        is_any(error, &["23505", "42P07", "42710", "40001", "40P01", "XX000"])
    }

    /// sqlx takes the byte that it did not read for an answer to its request for TLS, of a value
    /// that no server sends.
    fn is_closed(error: &sqlx::Error) -> bool {
        matches!(error, sqlx::Error::Protocol(said) if said.contains("SSLRequest: 0x00"))
    }

    /// Returns whether TLS did not accept what the other side sent.
    fn is_tls_refusal(cause: &io::Error) -> bool {
        let said = cause.to_string();
        said.contains("certificate") || said.contains("received fatal alert")
    }
}
