//! Finds the rows of the SQL stores that may be removed.

use std::time::Duration;

use super::dialect::Dialect;
use super::row::Columns;
use super::statement::{Statement, Values};
use crate::shell::{Found, Page};
use crate::{FencingToken, LockName, LockRecord, Result};

/// This name may be removed; the token identifies the state of its row.
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
fn micros(unused_for: Duration) -> i64 {
    i64::try_from(unused_for.as_micros()).unwrap_or(i64::MAX / 2).min(i64::MAX / 2)
}

/// Finds the next names that are unused, and removes them. `remove` removes the rows that are still
/// as they were found, at that age in microseconds, and returns their names in order.
pub(crate) async fn prune<D, F>(
    dialect: &D,
    unused: &Statement,
    page: &Page<'_>,
    unused_for: Duration,
    remove: Option<impl FnOnce(Vec<PruneCandidate>, i64) -> F>,
) -> Result<Found<LockName>>
where
    D: Dialect,
    F: Future<Output = Result<Vec<LockName>>>,
{
    let age = micros(unused_for);
    let rows = dialect.select(unused, &Values { age, ..Values::of_page(page) }).await?;
    let candidates = valid_candidates(rows.iter().map(dialect.record_reader()));
    // Rows that cannot be read, or are in use again, are skipped in favour of the next ones.
    let last = rows.last().filter(|_| rows.len() >= page.limit);
    let next = last.and_then(|row| row.bytes("name").ok());
    let entries = match remove {
        Some(remove) if !candidates.is_empty() => remove(candidates, age).await?,
        _ => candidates.into_iter().map(|(name, _)| name).collect(),
    };
    Ok(Found { entries, next })
}

/// Returns the candidates that can be read and are unused. A row that cannot be read is left alone.
fn valid_candidates(candidates: impl Iterator<Item = Result<LockRecord>>) -> Vec<PruneCandidate> {
    let unused = |record: Result<LockRecord>| {
        let record = record.ok()?;
        let is_unused = !record.is_in_use() && record.disabled.is_none();
        is_unused.then(|| (record.name, record.token.map_or(0, FencingToken::get)))
    };
    candidates.filter_map(unused).collect()
}
