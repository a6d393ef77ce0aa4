//! Which rows of the SQL stores may be removed.

use std::time::Duration;

use crate::{LockName, LockRecord, Result};

/// A name that may be removed, and the token by which its row is known.
pub(crate) type Unused = (LockName, u64);

/// The condition on a row `l` that it is unused: free, enabled, and its latest grant, which its token
/// is the time of, at least `age` microseconds ago. `clock` is the server's.
///
/// A row that is unused stays so unless it is changed: a statement that waited for the row need not
/// read the clock again.
pub(crate) fn condition(clock: &str, age: &str) -> String {
    format!(
        "l.disabled_reason IS NULL AND (l.lease IS NULL OR l.expires_at <= {clock}) \
         AND l.token >= 0 AND l.token < {clock} - {age}"
    )
}

/// The age in microseconds.
pub(crate) fn micros(unused_for: Duration) -> i64 {
    i64::try_from(unused_for.as_micros()).unwrap_or(i64::MAX / 2).min(i64::MAX / 2)
}

/// The candidates that can be read, and are unused as read. A row that cannot be read is left alone.
pub(crate) fn readable(candidates: impl Iterator<Item = Result<LockRecord>>) -> Vec<Unused> {
    let unused = |record: Result<LockRecord>| {
        let record = record.ok()?;
        let is_unused = record.lease.is_none() && record.disabled.is_none();
        is_unused.then(|| (record.name, record.token.map_or(0, leasehold_core::FencingToken::get)))
    };
    candidates.filter_map(unused).collect()
}
