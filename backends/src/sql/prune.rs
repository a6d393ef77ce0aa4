//! Finds the rows of the SQL stores that may be removed.

use std::time::Duration;

use super::dialect::Dialect;
use super::row::Columns;
use super::statement::{Statement, Values};
use crate::shell::{Found, Page};
use crate::{FencingToken, LockName, LockRecord, Result};

/// A name that may be removed, and the token that identifies the state of its row.
pub(crate) type PruneCandidate = (LockName, u64);

/// Returns the SQL condition that a row `l` is unused: free, enabled, and last granted at least
/// `age` microseconds ago. The token is the time of that grant; `clock` is the server's clock.
///
/// An unused row stays unused until it is changed, so a statement that waited for the row need not
/// read the clock again.
pub(crate) fn condition(clock: &str, age: &str) -> String {
    format!(
        "l.disabled_reason IS NULL AND (l.lease IS NULL OR l.expires_at <= {clock}) \
         AND l.token >= 0 AND l.token < {clock} - {age}"
    )
}

/// Returns the age in microseconds.
pub(crate) fn micros(unused_for: Duration) -> i64 {
    i64::try_from(unused_for.as_micros()).unwrap_or(i64::MAX / 2).min(i64::MAX / 2)
}

/// Finds the next names that are unused. Rows that cannot be read, or are in use again, are skipped
/// in favour of the next ones. The age is in microseconds.
pub(crate) async fn find<D: Dialect>(
    dialect: &D,
    unused: &Statement,
    page: &Page<'_>,
    age: i64,
) -> Result<Found<PruneCandidate>> {
    let rows = dialect.select(unused, &Values { age, ..Values::of_page(page) }).await?;
    let entries = valid_candidates(rows.iter().map(|row| dialect.record(row)));
    let last = rows.last().filter(|_| rows.len() >= page.limit);
    Ok(Found { entries, next: last.and_then(|row| row.bytes("name").ok()) })
}

/// Returns the candidates that can be read and are unused. A row that cannot be read is left alone.
fn valid_candidates(candidates: impl Iterator<Item = Result<LockRecord>>) -> Vec<PruneCandidate> {
    let unused = |record: Result<LockRecord>| {
        let record = record.ok()?;
        let is_unused = record.lease.is_none() && record.disabled.is_none();
        is_unused.then(|| (record.name, record.token.map_or(0, FencingToken::get)))
    };
    candidates.filter_map(unused).collect()
}

/// Returns the names of candidates.
pub(crate) fn names(found: Vec<PruneCandidate>) -> Vec<LockName> {
    found.into_iter().map(|(name, _)| name).collect()
}
