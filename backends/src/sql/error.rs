//! Describes the errors of calls to a database server.

use std::io;

use super::error_codes::{Description, ErrorCodes};
use super::pool::CallError;
use crate::common::timeout::{CHECK_REACHABLE, timed_out, too_many_abandoned};
use crate::{Error, ErrorKind};

/// Describes the error of a call that writes.
pub(crate) fn writing<DB: ErrorCodes>(error: CallError) -> Error {
    match error {
        CallError::Unanswered => timed_out(ErrorKind::OutcomeUnknown),
        CallError::Failed(error) if may_have_committed::<DB>(&error) => {
            Error::new(ErrorKind::OutcomeUnknown, "the connection was lost before the reply")
                .with_source(error)
                .with_fix(CHECK_REACHABLE)
        }
        error => reading::<DB>(error),
    }
}

/// Describes the error of a call that changes nothing.
pub(crate) fn reading<DB: ErrorCodes>(error: CallError) -> Error {
    match error {
        CallError::NotSent(error) => not_sent::<DB>(error),
        CallError::TooManyAbandoned(count) => too_many_abandoned(count),
        CallError::Unanswered => timed_out(ErrorKind::Unavailable),
        CallError::Failed(error) => not_written::<DB>(error),
    }
}

/// Describes an error that left the database as it was.
pub(crate) fn not_written<DB: ErrorCodes>(error: sqlx::Error) -> Error {
    let description = DB::describe(&error).unwrap_or_else(|| of_driver(&error));
    described(description, error)
}

/// Describes the error of a call for which there was no connection.
fn not_sent<DB: ErrorCodes>(error: sqlx::Error) -> Error {
    match DB::describe_unsent(&error) {
        Some(description) => described(description, error),
        None => not_written::<DB>(error),
    }
}

/// Returns whether the write may have been committed.
pub(crate) fn may_have_committed<DB: ErrorCodes>(error: &sqlx::Error) -> bool {
    DB::leaves_doubt(error).unwrap_or(!matches!(
        error,
        sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Configuration(_)
            | sqlx::Error::Encode(_)
    ))
}

/// Describes an error of the first connection of all: what answers may be no server of this kind,
/// or none that is to be trusted. Later on the same is an outage, of a proxy on the way for example.
pub(crate) fn connecting<DB: ErrorCodes>(error: sqlx::Error) -> Error {
    use io::ErrorKind::{ConnectionReset, InvalidData, NotFound, UnexpectedEof};
    let another = (ErrorKind::Invalid, DB::OTHER_PROTOCOL, DB::CHECK_SERVER);
    let closed =
        (ErrorKind::Unavailable, "the connection was closed while it was opened", DB::CHECK_SERVER);
    let unencrypted =
        (ErrorKind::Denied, "cannot establish a trusted TLS connection", DB::CHECK_TLS);
    let no_file = (ErrorKind::Invalid, "a file that the URL names is missing", DB::CHECK_FILES);
    let description = match &error {
        error if DB::is_closed(error) => closed,
        sqlx::Error::Protocol(_) | sqlx::Error::Decode(_) => another,
        sqlx::Error::Tls(_) => unencrypted,
        sqlx::Error::Io(cause) if DB::is_tls_refusal(cause) => unencrypted,
        sqlx::Error::Io(cause) => match cause.kind() {
            NotFound => no_file,
            InvalidData => another,
            UnexpectedEof | ConnectionReset => closed,
            _ => return not_sent::<DB>(error),
        },
        _ => return not_sent::<DB>(error),
    };
    described(description, error)
}

fn described((kind, message, fix): Description, error: sqlx::Error) -> Error {
    let described = Error::new(kind, message).with_source(error);
    if fix.is_empty() { described } else { described.with_fix(fix) }
}

/// Describes an error of the driver's, which means the same with every server.
fn of_driver(error: &sqlx::Error) -> Description {
    use ErrorKind::{Corrupt, Invalid, Unavailable};
    match error {
        sqlx::Error::Database(_) => (Unavailable, "the server refused the statement", ""),
        sqlx::Error::PoolTimedOut => (
            Unavailable,
            "timed out waiting for a connection to the server",
            "is it up and reachable, and are all pool connections in use?",
        ),
        sqlx::Error::PoolClosed => (Unavailable, "the pool of connections is closed", ""),
        sqlx::Error::Configuration(_) => (Invalid, "the connection's settings are wrong", ""),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::RowNotFound => (Corrupt, "the server returned an invalid value", ""),
        _ => (Unavailable, "the connection to the server failed", CHECK_REACHABLE),
    }
}
