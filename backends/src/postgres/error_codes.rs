//! What PostgreSQL's errors mean to a caller.

use std::borrow::Cow;
use std::io;

use sqlx::error::DatabaseError;

use crate::common::pool_call::CallError;
use crate::common::timeout::{timed_out, too_many_abandoned};
use crate::{Error, ErrorKind};

/// The fix for whatever is missing and may not be created.
pub(super) const CREATE_IT: &str = "let it be created, or apply the schema that leasehold prints";

/// Why nothing can be written here.
pub(super) const READ_ONLY: &str = "the server accepts no writes: it is a replica, or \
     default_transaction_read_only is on";
/// The fix for [`NO_SCHEMA`].
pub(super) const USE_PRIMARY: &str = "name the primary server in the URL";

/// The reason why no table can be created.
pub(super) const NO_SCHEMA: &str = "no schema is there to create the table in";
/// The fix for [`NO_SCHEMA`].
pub(super) const SET_SEARCH_PATH: &str = "set the user's search_path to one that exists";

const CHECK_REACHABLE: &str = "is the server up, and reachable from here?";
const ANOTHER_SERVER: &str = "does a PostgreSQL server listen at that host and port?";

/// The error of a call that writes.
pub(super) fn writing(error: CallError) -> Error {
    match error {
        CallError::NotSent(error) => not_sent(error),
        CallError::TooManyAbandoned(count) => too_many_abandoned(count),
        CallError::Unanswered => timed_out(ErrorKind::OutcomeUnknown),
        CallError::Failed(error) if may_have_committed(&error) => {
            Error::new(ErrorKind::OutcomeUnknown, "the connection broke off before the answer came")
                .with_source(error)
                .with_fix(CHECK_REACHABLE)
        }
        CallError::Failed(error) => not_written(error),
    }
}

/// The error of a call that changes nothing.
pub(super) fn reading(error: CallError) -> Error {
    match error {
        CallError::NotSent(error) => not_sent(error),
        CallError::TooManyAbandoned(count) => too_many_abandoned(count),
        CallError::Unanswered => timed_out(ErrorKind::Unavailable),
        CallError::Failed(error) => not_written(error),
    }
}

/// Returns the error of a call for which there was no connection.
fn not_sent(error: sqlx::Error) -> Error {
    if code(&error).as_deref() != Some("08P01") {
        return not_written(error);
    }
    // Poolers give most of their reasons this code.
    Error::new(ErrorKind::Unavailable, "the server or a pooler refused the session")
        .with_source(error)
        .with_fix("does a pooler not know a setting that the URL's options name?")
}

/// Whether the write may have been committed.
///
/// An error of the server's means that its transaction was rolled back, except for those that end
/// the session, which can come after the commit and before the answer, and those that a pooler
/// gives in the server's place. A session that the server ended because it was idle (57P05) did
/// nothing.
pub(super) fn may_have_committed(error: &sqlx::Error) -> bool {
    match code(error) {
        Some(code) => {
            matches!(code.as_str(), "40003" | "57P01" | "57P02") || code.starts_with("08")
        }
        None => !matches!(
            error,
            sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::Configuration(_)
                | sqlx::Error::Encode(_)
        ),
    }
}

/// The connection was closed before the server answered the request for TLS. sqlx then takes the
/// byte that it did not read for an answer, of a value that no server sends.
pub(super) fn is_closed(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Protocol(said) if said.contains("SSLRequest: 0x00"))
}

/// An error of the first connection of all: what answers may be no server of this kind. Later on
/// the same is an outage, of a proxy on the way for example.
pub(super) fn connecting(error: sqlx::Error) -> Error {
    let another =
        |message: &str, error| Error::invalid(message).with_source(error).with_fix(ANOTHER_SERVER);
    let closed = |error| {
        Error::new(ErrorKind::Unavailable, "the connection was closed while it was opened")
            .with_source(error)
            .with_fix(ANOTHER_SERVER)
    };
    match error {
        error if is_closed(&error) => closed(error),
        sqlx::Error::Protocol(_) | sqlx::Error::Decode(_) => {
            another("what answers there does not speak PostgreSQL's protocol", error)
        }
        // So says TLS what it does not accept, and sqlx what it cannot read.
        sqlx::Error::Io(ref cause) if is_certificate_error(cause) => unencrypted(error),
        sqlx::Error::Io(ref cause) if cause.kind() == io::ErrorKind::NotFound => {
            Error::invalid("a file that the URL names is not there")
                .with_source(error)
                .with_fix("look at the host, if it is a socket, sslrootcert, sslcert and sslkey")
        }
        sqlx::Error::Io(ref cause) if cause.kind() == io::ErrorKind::InvalidData => {
            another("what answers there does not speak PostgreSQL's protocol", error)
        }
        sqlx::Error::Io(ref cause)
            if matches!(
                cause.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
            ) =>
        {
            closed(error)
        }
        sqlx::Error::Tls(_) => unencrypted(error),
        error => not_sent(error),
    }
}

fn is_certificate_error(cause: &io::Error) -> bool {
    let said = cause.to_string();
    said.contains("certificate") || said.contains("received fatal alert")
}

fn unencrypted(error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Denied, "no encrypted connection can be made to a server that is trusted")
        .with_source(error)
        .with_fix("look at sslmode and sslrootcert in the URL, and at the server's certificate")
}

/// An error that left the database as it was.
pub(super) fn not_written(error: sqlx::Error) -> Error {
    let (kind, message, fix) = classify(&error);
    let described = Error::new(kind, message).with_source(error);
    if fix.is_empty() { described } else { described.with_fix(fix) }
}

/// The five characters of an error of the server's.
pub(super) fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(DatabaseError::code).map(Cow::into_owned)
}

/// Another transaction was in the way and nothing was done: the same statement may succeed at once.
pub(super) fn is_conflict(error: &CallError) -> bool {
    let CallError::Failed(error) = error else { return false };
    code(error).is_some_and(|code| matches!(code.as_str(), "40001" | "40P01"))
}

/// The server does not know what was prepared on this connection, or it no longer fits: a
/// `DEALLOCATE ALL` of the application's, a pooler, or a column that was changed. Nothing was done.
pub(super) fn is_stale_statement(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| matches!(code.as_str(), "26000" | "42P05" | "0A000"))
}

/// Returns whether the statement was rolled back because of its hint: the notification queue is
/// full, or this user may not send notifications.
pub(super) fn refuses_hint(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    source.and_then(code).is_some_and(|code| matches!(code.as_str(), "54000" | "42501"))
}

/// Others are creating the same table just now.
pub(super) fn is_creation_race(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| {
        matches!(code.as_str(), "23505" | "42P07" | "42710" | "40001" | "40P01" | "XX000")
    })
}

fn classify(error: &sqlx::Error) -> (ErrorKind, &'static str, &'static str) {
    use ErrorKind::{Corrupt, Denied, Invalid, Unavailable};
    if let Some(code) = code(error) {
        return match code.as_str() {
            "28P01" | "28000" => (
                Denied,
                "the server refuses this user",
                "check the user and password, and the server's pg_hba.conf",
            ),
            "42501" => (
                Denied,
                "this user lacks a right",
                "GRANT SELECT, INSERT, UPDATE on the table of locks to it, DELETE to prune, or CREATE \
                 on the schema to let it create that",
            ),
            "25006" => (Unavailable, READ_ONLY, USE_PRIMARY),
            "3D000" => (Invalid, "there is no such database", "create it, or name another"),
            "3F000" => (Invalid, NO_SCHEMA, SET_SEARCH_PATH),
            "42P01" | "42703" | "42804" | "42883" | "42P10" | "42809" | "0A000" => (
                Corrupt,
                "the table of locks is missing or is not as leasehold creates it",
                "was it changed while this ran?",
            ),
            "26000" | "42P05" | "08P01" => (
                Unavailable,
                "prepared statements do not survive on this connection",
                "PgBouncer in transaction mode needs version 1.21 and max_prepared_statements",
            ),
            "40001" | "40P01" | "55P03" => (
                Unavailable,
                "other transactions are in the way",
                "does a transaction, an ALTER TABLE or a backup keep the row or the table locked?",
            ),
            "57014" => (Unavailable, "the server cancelled the statement", "is it overloaded?"),
            "53100" => (Unavailable, "the server's disk is full", "free some"),
            "53300" | "53400" => (
                Unavailable,
                "the server accepts no more connections",
                "raise max_connections, or use a pooler",
            ),
            "57P01" | "57P02" | "57P03" | "57P05" => {
                (Unavailable, "the server is shutting down or starting up", "")
            }
            "XX001" | "XX002" => (Corrupt, "the server's data is damaged", "see the server's log"),
            code if code.starts_with("22") || code.starts_with("23") => (
                Corrupt,
                "the row holds values that leasehold never writes",
                "repair or delete it; fencing tokens grow all the same",
            ),
            _ => (Unavailable, "the server did not do it", ""),
        };
    }
    match error {
        sqlx::Error::PoolTimedOut => (
            Unavailable,
            "no connection to the server was had in time",
            "is the server up and reachable, or does something keep all of the pool's connections?",
        ),
        sqlx::Error::PoolClosed => (Unavailable, "the pool of connections is closed", ""),
        sqlx::Error::Configuration(_) => (Invalid, "the connection's settings are wrong", ""),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::RowNotFound => {
            (Corrupt, "the server answered with what leasehold never writes", "")
        }
        _ => (Unavailable, "the connection to the server failed", CHECK_REACHABLE),
    }
}
