//! What MySQL's and MariaDB's errors mean to a caller.

use std::io;

use sqlx::mysql::MySqlDatabaseError;

use crate::common::pool_call::CallError;
use crate::common::timeout::{timed_out, too_many_abandoned};
use crate::{Error, ErrorKind};

/// The fix for whatever is missing and may not be created.
pub(super) const CREATE_IT: &str = "let it be created, or apply the schema that leasehold prints";

/// Why nothing can be written here.
pub(super) const READ_ONLY: &str =
    "the server accepts no writes: it is a replica, or read_only is on";
/// What to do about it.
pub(super) const USE_PRIMARY: &str = "name the primary server in the URL";

const CHECK_REACHABLE: &str = "is the server up, and reachable from here?";
const ANOTHER_SERVER: &str = "does a MySQL or MariaDB server listen at that host and port?";

/// The error of a call that writes.
pub(super) fn writing(error: CallError) -> Error {
    match error {
        CallError::NotSent(error) => not_written(error),
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
        CallError::NotSent(error) | CallError::Failed(error) => not_written(error),
        CallError::TooManyAbandoned(count) => too_many_abandoned(count),
        CallError::Unanswered => timed_out(ErrorKind::Unavailable),
    }
}

/// Whether the write may have been committed.
///
/// An error of the server's means that its statement was rolled back, except for those that end the
/// session or the commit's replication, and for those that a proxy gives in the server's place. A
/// session that the server ended because it was idle (4031) did nothing.
pub(super) fn may_have_committed(error: &sqlx::Error) -> bool {
    match number(error) {
        Some(number) => {
            matches!(number, 1053 | 1077..=1080 | 1158..=1161 | 1180 | 1317 | 1927 | 2000..=2999 | 3100 | 3169 | 9001)
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

/// An error of the first connection of all: what answers may be no server of this kind, or none that
/// is to be trusted. Later on the same is an outage, of a proxy on the way for example.
pub(super) fn connecting(error: sqlx::Error) -> Error {
    let another = |error| {
        Error::invalid("what answers there does not speak MySQL's protocol")
            .with_source(error)
            .with_fix(ANOTHER_SERVER)
    };
    match error {
        sqlx::Error::Protocol(_) | sqlx::Error::Decode(_) => another(error),
        // So says TLS what it does not accept, after the server said that it speaks TLS.
        sqlx::Error::Io(ref cause) if cause.kind() == io::ErrorKind::InvalidData => {
            unencrypted(error)
        }
        sqlx::Error::Io(ref cause) if cause.kind() == io::ErrorKind::NotFound => {
            Error::invalid("a file that the URL names is not there")
                .with_source(error)
                .with_fix("look at socket, ssl-ca, ssl-cert and ssl-key in the URL")
        }
        sqlx::Error::Io(ref cause)
            if matches!(
                cause.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
            ) =>
        {
            Error::new(ErrorKind::Unavailable, "the connection was closed while it was opened")
                .with_source(error)
                .with_fix(ANOTHER_SERVER)
        }
        sqlx::Error::Tls(_) => unencrypted(error),
        error => not_written(error),
    }
}

fn unencrypted(error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Denied, "no encrypted connection can be made to a server that is trusted")
        .with_source(error)
        .with_fix("look at ssl-mode and ssl-ca in the URL, and at the server's certificate")
}

/// An error that left the database as it was.
pub(super) fn not_written(error: sqlx::Error) -> Error {
    let (kind, message, fix) = classify(&error);
    let described = Error::new(kind, message).with_source(error);
    if fix.is_empty() { described } else { described.with_fix(fix) }
}

/// The number of an error of the server's.
pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?;
    Some(error.number())
}

/// Another transaction was in the way and nothing was done: the same statement may succeed at once.
pub(super) fn is_conflict(error: &CallError) -> bool {
    let CallError::Failed(error) = error else { return false };
    number(error).is_some_and(|number| matches!(number, 1020 | 1205 | 1213 | 3101))
}

/// The server does not know what was prepared on this connection, or it no longer fits. Nothing was
/// done.
pub(super) fn is_stale_statement(error: &sqlx::Error) -> bool {
    number(error).is_some_and(|number| matches!(number, 1243 | 1615))
}

/// Others are creating the same table just now.
pub(super) fn is_creation_race(error: &sqlx::Error) -> bool {
    number(error).is_some_and(|number| matches!(number, 1050 | 1205 | 1213 | 1684))
}

fn classify(error: &sqlx::Error) -> (ErrorKind, &'static str, &'static str) {
    use ErrorKind::{Corrupt, Denied, Invalid, Unavailable};
    if let Some(number) = number(error) {
        return match number {
            1045 | 1698 | 1862 | 3118 | 4151 => (
                Denied,
                "the server refuses this user",
                "check the user and password, and from which hosts the user may connect",
            ),
            1044 | 1142 | 1143 | 1227 | 1370 => (
                Denied,
                "this user lacks a right",
                "GRANT SELECT, INSERT, UPDATE on the table of locks to it, DELETE to prune, or \
                 CREATE on the database to let it create that",
            ),
            3159 | 4150 => (
                Denied,
                "the server accepts encrypted connections only",
                "let the URL have no ssl-mode, or one that encrypts",
            ),
            // Another server may become the primary, and the name lead to it.
            1290 | 1792 | 1836 | 3170 => (Unavailable, READ_ONLY, USE_PRIMARY),
            1049 => (Invalid, "there is no such database", "create it, or name another"),
            1046 => (Invalid, "no database is chosen", "name one in the URL"),
            1146 | 1051 => (Invalid, "the table of locks is missing", CREATE_IT),
            1054 | 1103 | 1109 | 1347 | 1348 | 1364 | 1471 => (
                Corrupt,
                "the table of locks is not as leasehold creates it",
                "was it changed while this ran?",
            ),
            1264 | 1366 | 1406 | 1048 | 1690 | 3140..=3143 => (
                Corrupt,
                "the row holds values that leasehold never writes",
                "repair or delete it; fencing tokens grow all the same",
            ),
            1205 | 1213 | 1020 | 3101 => (
                Unavailable,
                "other transactions are in the way",
                "does a transaction, an ALTER TABLE or a backup keep the row or the table locked?",
            ),
            1021 | 1114 => (Unavailable, "the server's disk is full", "free some"),
            1040 | 1203 | 1226 | 1461 => (
                Unavailable,
                "the server accepts no more connections or statements",
                "raise max_connections or max_prepared_stmt_count",
            ),
            1053 | 1077..=1080 | 3032 | 3168 => (Unavailable, "the server is shutting down", ""),
            1047 | 3100 => {
                (Unavailable, "the server is not part of its cluster", "see the cluster's state")
            }
            1927 | 3169 | 4031 => (Unavailable, "the server ended the session", ""),
            1129 | 1130 => (Denied, "the server accepts no connections from this host", ""),
            1317 | 1969 | 3024 => {
                (Unavailable, "the server cancelled the statement", "is it overloaded?")
            }
            1034 | 1194 | 1195 => (Corrupt, "the server's data is damaged", "see the server's log"),
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
        // This build cannot hide a password from who listens on an unencrypted connection.
        sqlx::Error::Configuration(cause) if cause.to_string().contains("RSA") => (
            Denied,
            "the server asks for a password, and the connection is not encrypted",
            "let the URL have no ssl-mode, or one that encrypts",
        ),
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
