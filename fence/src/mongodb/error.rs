//! This module says what MongoDB's errors mean.

use std::error::Error as StdError;

use ::mongodb::error::{
    Error as Cause, ErrorKind as CauseKind, NO_WRITES_PERFORMED, RETRYABLE_WRITE_ERROR,
    TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure,
};
use leasehold_core::{Error as CoreError, ErrorKind, LockName};

use crate::Error;

/// Servers return these error codes, see
/// <https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml>.
pub(super) mod code {
    pub(in crate::mongodb) const UNAUTHORIZED: i32 = 13;
    pub(in crate::mongodb) const AUTHENTICATION_FAILED: i32 = 18;
    pub(in crate::mongodb) const ILLEGAL_OPERATION: i32 = 20;
    pub(in crate::mongodb) const MAX_TIME_EXPIRED: i32 = 50;
    pub(in crate::mongodb) const WRITE_CONFLICT: i32 = 112;
    pub(in crate::mongodb) const DUPLICATE_KEY: i32 = 11000;
}

/// Describes an error of a fence's call, or of a transaction that checks it.
pub(super) fn describe(cause: Cause, name: &LockName) -> Error {
    let (is_conflict, kind, message, fix) = match &*cause.kind {
        // The driver has sent nothing, unless it gave up after an error of the server.
        CauseKind::Transaction { .. } if StdError::source(&cause).is_none() => {
            let message = "the driver refused this call for the session or the deployment";
            (false, ErrorKind::Unsupported, message, "see its cause")
        }
        _ => meaning(code_of(&cause), |label| cause.contains_label(label)),
    };
    let error = CoreError::new(kind, message).with_fix(fix).with_source(cause).for_lock(name);
    if is_conflict { Error::Conflict(error) } else { Error::Datastore(error) }
}

/// Returns whether the server ended a transaction because of a concurrent one; and the kind of an
/// error with that code and those labels, what it means, and what to do.
fn meaning(
    code: Option<i32>,
    has: impl Fn(&str) -> bool,
) -> (bool, ErrorKind, &'static str, &'static str) {
    // A server that steps down or stops returns an error although it may have done the write.
    let may_have_an_effect = has(UNKNOWN_TRANSACTION_COMMIT_RESULT)
        || (has(RETRYABLE_WRITE_ERROR)
            && !has(NO_WRITES_PERFORMED)
            && !has(TRANSIENT_TRANSACTION_ERROR));
    let is_conflict = !may_have_an_effect
        && (has(TRANSIENT_TRANSACTION_ERROR) || code == Some(code::WRITE_CONFLICT));
    let (kind, message, fix) = match code {
        Some(code::UNAUTHORIZED) => (
            ErrorKind::Denied,
            "the user lacks a permission",
            "grant it the role readWrite on the database",
        ),
        Some(code::AUTHENTICATION_FAILED) => {
            (ErrorKind::Denied, "the server did not accept the user and password", "check both")
        }
        Some(code::ILLEGAL_OPERATION) => (
            ErrorKind::Unsupported,
            "transactions need a replica set or a sharded cluster",
            "use one, or the filter of a single document",
        ),
        Some(_) if may_have_an_effect => (
            ErrorKind::OutcomeUnknown,
            "the server returned an error, and may have done the write",
            "repeat the raise or the commit",
        ),
        Some(code::WRITE_CONFLICT) => (
            ErrorKind::Unavailable,
            "a concurrent transaction has changed the same data",
            "abort the transaction, and run it again",
        ),
        Some(_) if is_conflict => (
            ErrorKind::Unavailable,
            "the server has ended the transaction",
            "run the whole transaction again",
        ),
        Some(_) => (ErrorKind::Unavailable, "the server returned an error", "see its cause"),
        None => (
            ErrorKind::OutcomeUnknown,
            "the call to the server failed",
            "repeat the raise or the commit, or abort the transaction",
        ),
    };
    (is_conflict, kind, message, fix)
}

/// Returns whether a session could not start a transaction because it is in one.
pub(super) fn is_transaction_in_progress(cause: &Cause) -> bool {
    is_refused_by_driver(cause, "already in progress")
}

/// Returns whether a session could not start a transaction because its writes would not be
/// acknowledged, which the driver checks last.
pub(super) fn is_acknowledgment_missing(cause: &Cause) -> bool {
    is_refused_by_driver(cause, "unacknowledged write concern")
}

/// Returns whether the driver refused to start a transaction for this reason, which only the
/// error's text tells.
fn is_refused_by_driver(cause: &Cause, part: &str) -> bool {
    matches!(&*cause.kind, CauseKind::Transaction { message, .. } if message.contains(part))
}

/// Returns the error with which a callback of the driver's `and_run` or `and_run2` ends after a
/// check has failed.
///
/// If the check failed with an error of the driver, this returns that error: by its label the
/// driver repeats the transaction after a conflict. Any other error, such as [`Error::Stale`], is
/// wrapped: the driver does not repeat the transaction, and
/// `get_custom::<leasehold_fence::Error>()` of the returned error is the fence's error.
#[must_use]
pub fn callback_error(error: Error) -> Cause {
    let cause = error.source().and_then(|source| source.downcast_ref::<Cause>()).cloned();
    cause.unwrap_or_else(|| Cause::custom(error))
}

/// Returns the server's code of an error.
pub(super) fn code_of(cause: &Cause) -> Option<i32> {
    match &*cause.kind {
        CauseKind::Command(error) => Some(error.code),
        CauseKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use leasehold_core::FencingToken;

    use super::*;
    use crate::Stale;

    #[test]
    fn a_callback_ends_with_the_drivers_own_error_or_else_the_fences() {
        let name = LockName::new("ledger").unwrap();
        let own = Error::Conflict(CoreError::invalid("x").with_source(Cause::custom(7_i32)));
        assert_eq!(callback_error(own).get_custom::<i32>(), Some(&7));
        let stale = Error::Stale(Stale::new(&name, FencingToken::new(7).unwrap(), None));
        let returned = callback_error(stale);
        assert!(returned.get_custom::<Error>().is_some_and(Error::is_stale), "{returned}");
    }

    #[test]
    fn an_error_that_may_follow_a_write_has_an_unknown_outcome() {
        const STEPPED_DOWN: i32 = 189;
        const NO_SUCH_TRANSACTION: i32 = 251;
        let meaning = |code, labels: &[&str]| {
            let (is_conflict, kind, ..) = meaning(Some(code), |label| labels.contains(&label));
            (is_conflict, kind)
        };
        for label in [UNKNOWN_TRANSACTION_COMMIT_RESULT, RETRYABLE_WRITE_ERROR] {
            assert_eq!(meaning(STEPPED_DOWN, &[label]), (false, ErrorKind::OutcomeUnknown));
        }
        let nothing = [RETRYABLE_WRITE_ERROR, NO_WRITES_PERFORMED];
        assert_eq!(meaning(STEPPED_DOWN, &nothing), (false, ErrorKind::Unavailable));
        let aborted = [TRANSIENT_TRANSACTION_ERROR];
        assert_eq!(meaning(NO_SUCH_TRANSACTION, &aborted), (true, ErrorKind::Unavailable));
        assert_eq!(meaning(code::WRITE_CONFLICT, &[]), (true, ErrorKind::Unavailable));
    }
}
