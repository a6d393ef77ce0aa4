//! Which columns of PostgreSQL's rows say what.

use std::time::Duration;

use sqlx::postgres::PgRow;

use crate::shell::{Entry, Found, Page};
use crate::sql::CorruptRecord;
use crate::sql::row::{self, get, not_null, parse_column, text};
use crate::{LeaseId, LockName, LockRecord, RenewOutcome, Result};

/// The whole row.
pub(super) fn record(row: &PgRow, table: &str) -> Result<LockRecord> {
    row::record(row, table, text)
}

/// Returns what a row shows of a name.
pub(super) fn entry(row: &PgRow, table: &str) -> Entry {
    row::entry(row, table, text)
}

/// Returns what the rows of a page show.
pub(super) fn to_page(rows: &[PgRow], table: &str, page: &Page<'_>) -> Found<Entry> {
    row::to_page::<_, String>(rows, table, page, text)
}

/// Returns whose lease a row of a renewal is, and what became of it.
pub(super) fn renewal(
    row: &PgRow,
    table: &str,
) -> Result<((LockName, LeaseId), Result<RenewOutcome>)> {
    let name = row::name(row, table, text)?;
    let complete = |corrupt: CorruptRecord| corrupt.into_error(table).for_lock(&name);
    let lease = || not_null("lease", parse_column("lease", get(row, "lease")?)?);
    let lease = lease().map_err(complete)?;
    let outcome = || match parse_column("reason", get(row, "reason")?)? {
        Some(reason) => {
            let left = row::left(get(row, "expires_at")?, get(row, "clock")?)?;
            Ok(RenewOutcome::disabled(reason, left.unwrap_or_default()))
        }
        None => {
            let ttl: i64 = get(row, "ttl")?;
            Ok(RenewOutcome::extended(Duration::from_micros(ttl.unsigned_abs())))
        }
    };
    let outcome = outcome().map_err(complete);
    Ok(((name, lease), outcome))
}

/// Returns the row's name.
pub(super) fn name(row: &PgRow, table: &str) -> Result<LockName> {
    row::name(row, table, text)
}
