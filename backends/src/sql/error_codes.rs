//! This module says what the errors of a database server mean.

use std::io;

use sqlx::Database;

use crate::ErrorKind;

/// A description has the kind of an error, a message, and what to do about it, which may be empty.
pub(crate) type Description = (ErrorKind, &'static str, &'static str);

/// This says what a server's errors mean.
pub(crate) trait ErrorCodes: Database {
    /// This is the message if something answers that is not such a server.
    const OTHER_PROTOCOL: &'static str;
    /// This is the fix if something answers that is not such a server, or nothing does.
    const CHECK_SERVER: &'static str;
    /// This is the fix if TLS fails.
    const CHECK_TLS: &'static str;
    /// This is the fix if a file is missing that the URL names.
    const CHECK_FILES: &'static str;

    /// Describes an error, if its meaning depends on the server or the driver.
    fn describe(error: &sqlx::Error) -> Option<Description>;

    /// Describes an error of a call for which there was no connection, if it differs there.
    fn describe_unsent(error: &sqlx::Error) -> Option<Description> {
        let _ = error;
        None
    }

    /// Returns whether a write that failed with this error of the server's may have been committed,
    /// or `None` if the error is not the server's.
    fn leaves_doubt(error: &sqlx::Error) -> Option<bool>;

    /// Returns whether another transaction was in the way and nothing was done: the same statement
    /// may succeed at once.
    fn is_conflict(error: &sqlx::Error) -> bool;

    /// Returns whether the server does not know what was prepared on this connection, or it no
    /// longer fits. Nothing was done.
    fn is_stale_statement(error: &sqlx::Error) -> bool;

    /// Returns whether others are creating the same table just now.
    fn is_creation_race(error: &sqlx::Error) -> bool;

    /// Returns whether this error, which the server did not send, means that the connection was
    /// closed on the way while it was opened.
    fn is_closed(error: &sqlx::Error) -> bool {
        let _ = error;
        false
    }

    /// Returns whether the cause of a failed connection is a certificate that is refused.
    fn is_tls_refusal(cause: &io::Error) -> bool;
}
