//! This module says what MongoDB's errors mean.

use ::mongodb::error::{
    Error as Cause, ErrorKind as CauseKind, TRANSIENT_TRANSACTION_ERROR, WriteFailure,
};
use leasehold_core::{Error as CoreError, ErrorKind, LockName};

use crate::Error;

/// The error codes of servers, see
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
    let code = code_of(&cause);
    let is_conflict =
        cause.contains_label(TRANSIENT_TRANSACTION_ERROR) || code == Some(code::WRITE_CONFLICT);
    let (kind, message) = match code {
        Some(code::WRITE_CONFLICT) => {
            (ErrorKind::Unavailable, "a concurrent transaction has changed the same data")
        }
        Some(code::UNAUTHORIZED) => (ErrorKind::Denied, "the user lacks a permission"),
        Some(code::AUTHENTICATION_FAILED) => {
            (ErrorKind::Denied, "the server did not accept the user and password")
        }
        Some(code::ILLEGAL_OPERATION) => {
            (ErrorKind::Unsupported, "transactions need a replica set or a sharded cluster")
        }
        Some(_) => (ErrorKind::Unavailable, "the server returned an error"),
        None => (ErrorKind::OutcomeUnknown, "the call to the server failed"),
    };
    let error = CoreError::new(kind, message).with_source(cause).for_lock(name);
    if is_conflict { Error::Conflict(error) } else { Error::Datastore(error) }
}

/// Returns the server's code of an error.
pub(super) fn code_of(cause: &Cause) -> Option<i32> {
    match &*cause.kind {
        CauseKind::Command(error) => Some(error.code),
        CauseKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        _ => None,
    }
}
