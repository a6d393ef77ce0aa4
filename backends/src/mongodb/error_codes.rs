//! Translates the driver's errors into errors of the store.

use mongodb::error::{Error as Cause, ErrorKind as CauseKind, WriteFailure};

use crate::common::timeout::CHECK_REACHABLE;
use crate::{Error, ErrorKind};

/// The error codes of servers, see
/// <https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml>.
mod code {
    pub(super) const UNAUTHORIZED: i32 = 13;
    pub(super) const AUTHENTICATION_FAILED: i32 = 18;
    pub(super) const MAX_TIME_EXPIRED: i32 = 50;
    pub(super) const COMMAND_NOT_FOUND: i32 = 59;
    pub(super) const WRITE_CONFLICT: i32 = 112;
    pub(super) const COMMAND_NOT_SUPPORTED: i32 = 115;
    pub(super) const DOCUMENT_VALIDATION_FAILURE: i32 = 121;
    pub(super) const NOT_SUPPORTED_ON_VIEW: i32 = 166;
    pub(super) const UNKNOWN_STAGE: i32 = 40324;
    pub(super) const DUPLICATE_KEY: i32 = 11000;
    /// Errors of a server that did nothing because it is not the primary, and their older forms.
    pub(super) const NOT_PRIMARY: [i32; 3] = [10107, 13435, 10058];
    /// Errors after which the outcome may be unknown: shutdown, stepped down, recovering, a network
    /// failure, a write concern that is not met.
    pub(super) const INTERRUPTED: [i32; 15] =
        [6, 7, 24, 64, 79, 89, 91, 100, 189, 202, 262, 9001, 11600, 11602, 13436];
}

/// The label of a write that was retried and had no effect at any try.
const NO_WRITES: &str = "NoWritesPerformed";

/// The label of a write that the driver retries once, and has retried before it returns this error.
const RETRYABLE_WRITE_ERROR: &str = "RetryableWriteError";

/// Describes the error of a call that changes nothing.
pub(super) fn reading(cause: Cause) -> Error {
    let (kind, message, fix) = classify(&cause);
    let kind = if kind == ErrorKind::OutcomeUnknown { ErrorKind::Unavailable } else { kind };
    described(kind, message, fix, cause)
}

/// Describes the error of a call that writes.
pub(super) fn writing(cause: Cause) -> Error {
    let (kind, message, fix) = classify(&cause);
    let not_primary = code_of(&cause).is_some_and(|code| code::NOT_PRIMARY.contains(&code));
    let may_be_second = cause.contains_label(RETRYABLE_WRITE_ERROR);
    let kind = of_write(kind, not_primary && may_be_second, cause.contains_label(NO_WRITES));
    described(kind, message, fix, cause)
}

/// Returns what is known about a failed write. `may_be_second` means that this may be the error of
/// the driver's second try, which says nothing about the first.
fn of_write(kind: ErrorKind, may_be_second: bool, no_writes: bool) -> ErrorKind {
    match kind {
        ErrorKind::OutcomeUnknown if no_writes => ErrorKind::Unavailable,
        ErrorKind::Unavailable if may_be_second && !no_writes => ErrorKind::OutcomeUnknown,
        kind => kind,
    }
}

/// Returns whether another call changed the same document at the same time: nothing was written.
pub(super) fn is_conflict(cause: &Cause) -> bool {
    matches!(code_of(cause), Some(code::DUPLICATE_KEY | code::WRITE_CONFLICT))
}

/// Returns whether the user lacks a permission.
pub(super) fn is_unauthorized(cause: &Cause) -> bool {
    code_of(cause) == Some(code::UNAUTHORIZED)
}

/// Returns the error for a command that the server executed only in part.
pub(super) fn partial_failure(code: i32, message: &str) -> Error {
    let refused = code == code::UNAUTHORIZED;
    let kind = if refused { ErrorKind::Denied } else { ErrorKind::OutcomeUnknown };
    Error::new(
        kind,
        format!("the server applied only part of the write: {message:?} (code {code})"),
    )
}

fn described(kind: ErrorKind, message: String, fix: &str, cause: Cause) -> Error {
    let error = Error::new(kind, message).with_source(cause);
    if fix.is_empty() { error } else { error.with_fix(fix) }
}

fn code_of(cause: &Cause) -> Option<i32> {
    match &*cause.kind {
        CauseKind::Command(error) => Some(error.code),
        CauseKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        _ => None,
    }
}

fn classify(cause: &Cause) -> (ErrorKind, String, &'static str) {
    use ErrorKind::{Denied, Invalid, OutcomeUnknown, Unavailable, Unsupported};
    if let Some(code) = code_of(cause) {
        return of_code(cause, code);
    }
    let (kind, message, fix) = match &*cause.kind {
        CauseKind::ServerSelection { .. } => (
            Unavailable,
            "no MongoDB server that accepts writes answered in time",
            "is it up and reachable, is it MongoDB, does the URL enable TLS (tls=true, tlsCAFile) \
             if needed, and does its replica set have a primary?",
        ),
        CauseKind::Authentication { .. } => (
            Denied,
            "the server did not accept the user and password",
            "check them, and the URL's authSource: the database that the user was created in",
        ),
        CauseKind::Write(_) => (
            OutcomeUnknown,
            "no majority of the replica set acknowledged the write in time",
            "are enough of its members up?",
        ),
        CauseKind::InvalidArgument { .. } => {
            (Invalid, "the driver does not accept an option", "check the URL's options")
        }
        CauseKind::InvalidTlsConfig { .. } => {
            (Invalid, "the TLS options cannot be used", "check the files that the URL names")
        }
        CauseKind::DnsResolve { .. } => {
            (Unavailable, "the server's name could not be resolved", "check it, and the DNS")
        }
        CauseKind::IncompatibleServer { .. } | CauseKind::SessionsNotSupported => {
            (Unsupported, "the server is too old or is not MongoDB", "use MongoDB 4.4 or later")
        }
        CauseKind::Shutdown => (Unavailable, "the client has been shut down", ""),
        CauseKind::BsonSerialization(_) => (Invalid, "cannot encode the request as BSON", ""),
        // The request may have been sent, also when the pool was cleared, which interrupts calls.
        _ => (OutcomeUnknown, "the connection to the server failed", CHECK_REACHABLE),
    };
    (kind, message.to_owned(), fix)
}

fn of_code(cause: &Cause, code: i32) -> (ErrorKind, String, &'static str) {
    use ErrorKind::{Corrupt, Denied, OutcomeUnknown, Unavailable, Unsupported};
    let (kind, message, fix) = match code {
        code::UNAUTHORIZED => (
            Denied,
            "the user lacks a permission",
            "grant it the role readWrite on this database, or the rights that the page of this \
             backend lists",
        ),
        code::AUTHENTICATION_FAILED => (
            Denied,
            "the server did not accept the user and password",
            "check them, and the URL's authSource: the database that the user was created in",
        ),
        code::MAX_TIME_EXPIRED => {
            (OutcomeUnknown, "the server did not finish in time", "is it overloaded?")
        }
        code::DUPLICATE_KEY | code::WRITE_CONFLICT => (
            Unavailable,
            "too many conflicting writes to the same document",
            "does the collection have a unique index that leasehold did not create?",
        ),
        code::DOCUMENT_VALIDATION_FAILURE | code::NOT_SUPPORTED_ON_VIEW => (
            Corrupt,
            "the collection is not one of leasehold's: it has a validator or is a view",
            "use another namespace, or remove it",
        ),
        code::COMMAND_NOT_FOUND | code::COMMAND_NOT_SUPPORTED | code::UNKNOWN_STAGE => (
            Unsupported,
            "the server does not support a command or stage that leasehold uses",
            "use MongoDB 4.4 or later",
        ),
        _ if code::NOT_PRIMARY.contains(&code) => (
            Unavailable,
            "this server is not the primary and refuses writes",
            "if this persists, name the replica set in the URL, without directConnection",
        ),
        _ if code::INTERRUPTED.contains(&code) || cause.contains_label(RETRYABLE_WRITE_ERROR) => (
            OutcomeUnknown,
            "the server interrupted the operation",
            "is it shutting down, or electing another primary?",
        ),
        _ => return (Unavailable, format!("the server returned error code {code}"), ""),
    };
    (kind, message.to_owned(), fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_retry_leaves_the_outcome_unknown() {
        use ErrorKind::{Denied, OutcomeUnknown, Unavailable};
        assert_eq!(of_write(Unavailable, false, false), Unavailable);
        assert_eq!(of_write(Unavailable, true, true), Unavailable);
        assert_eq!(of_write(Unavailable, true, false), OutcomeUnknown);
        assert_eq!(of_write(OutcomeUnknown, false, true), Unavailable);
        assert_eq!(of_write(OutcomeUnknown, false, false), OutcomeUnknown);
        assert_eq!(of_write(Denied, true, false), Denied);
    }

    #[test]
    fn each_code_that_says_not_primary_or_shutting_down_is_known() {
        for code in [10107, 13435, 10058] {
            assert!(code::NOT_PRIMARY.contains(&code), "{code}");
        }
        // The server's own list of errors after which a driver looks for another server.
        for code in [11600, 11602, 13436, 189, 91] {
            assert!(code::INTERRUPTED.contains(&code), "{code}");
        }
    }
}
