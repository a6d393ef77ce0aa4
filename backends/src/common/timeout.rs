//! Limits the time that a store waits for its datastore.
//!
//! The engine limits its calls by the remaining time of a lease. This limit is for callers that use
//! a store directly, and releases the connections of a server that hangs.

use std::time::Duration;

use tokio::time::timeout;

use crate::{Error, ErrorKind, Result};

/// One call waits at most this long for an answer.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(10);

/// This is the fix of an error of a datastore that does not answer, or whose connection failed.
pub(crate) const CHECK_REACHABLE: &str = "is it up, and reachable from here?";

/// Limits a call that writes: without an answer, its outcome is unknown.
pub(crate) async fn write_timeout<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(CALL_LIMIT, call).await.unwrap_or_else(|_| Err(timed_out(ErrorKind::OutcomeUnknown)))
}

/// Limits a call that changes nothing.
pub(crate) async fn read_timeout<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(CALL_LIMIT, call).await.unwrap_or_else(|_| Err(timed_out(ErrorKind::Unavailable)))
}

/// Returns the error of a call that was not answered within [`CALL_LIMIT`].
pub(crate) fn timed_out(kind: ErrorKind) -> Error {
    unanswered(kind, CALL_LIMIT)
}

/// Returns the error of a call, or of connecting, that was not answered within that time.
pub(crate) fn unanswered(kind: ErrorKind, limit: Duration) -> Error {
    Error::new(kind, format!("the datastore did not answer within {limit:?}"))
        .with_fix(CHECK_REACHABLE)
}

/// Returns the error of a call that was not sent because too many earlier ones are unanswered.
pub(crate) fn too_many_abandoned(count: usize) -> Error {
    let message = format!("{count} abandoned calls are still running on the server");
    Error::new(ErrorKind::Unavailable, message)
        .with_fix("is the table locked, or is a commit waiting for a standby?")
}
