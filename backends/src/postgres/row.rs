//! This module reads PostgreSQL's rows.

use std::time::Duration;

use sqlx::postgres::PgRow;

use crate::sql::CorruptRecord;
use crate::sql::row::{Columns, get, has, left, name, not_null, parse_column, ttl_micros};
use crate::{LeaseId, LockName, RenewOptions, RenewOutcome, Result};

impl Columns for PgRow {
    fn integer(&self, column: &'static str) -> Result<i64, CorruptRecord> {
        get(self, column)
    }

    fn optional_integer(&self, column: &'static str) -> Result<Option<i64>, CorruptRecord> {
        get(self, column)
    }

    fn text(&self, column: &'static str) -> Result<Option<String>, CorruptRecord> {
        get(self, column)
    }

    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, CorruptRecord> {
        get::<_, String>(self, column).map(String::into_bytes)
    }

    fn has(&self, column: &'static str) -> bool {
        has(self, column)
    }
}

/// Returns whose lease a row is.
pub(super) fn lease(row: &PgRow, table: &str) -> Result<(LockName, LeaseId)> {
    let name = name(row, table)?;
    let lease = || not_null("lease", parse_column("lease", get(row, "lease")?)?);
    match lease() {
        Ok(lease) => Ok((name, lease)),
        Err(corrupt) => Err(corrupt.into_error(table).for_lock(&name)),
    }
}

/// Reads a row of a renewal, and sets the outcomes of its leases.
pub(super) fn set_outcomes(
    row: &PgRow,
    table: &str,
    leases: &[&RenewOptions],
    outcomes: &mut [Result<RenewOutcome>],
) -> Result<(), CorruptRecord> {
    let positions: Vec<i64> = get(row, "positions")?;
    let reason: Option<String> = get(row, "reason")?;
    let disabled = || {
        let reason = not_null("reason", parse_column("reason", reason.clone())?)?;
        let left = left(get(row, "expires_at")?, get(row, "clock")?)?;
        Ok(RenewOutcome::disabled(reason, left.unwrap_or_default()))
    };
    for position in positions {
        // Positions are counted from 1.
        let at = usize::try_from(position).ok().and_then(|position| position.checked_sub(1));
        let Some((lease, outcome)) =
            at.and_then(|at| Some((leases.get(at)?, outcomes.get_mut(at)?)))
        else {
            continue;
        };
        *outcome = match reason {
            Some(_) => disabled()
                .map_err(|corrupt: CorruptRecord| corrupt.into_error(table).for_lock(&lease.name)),
            None => Ok(RenewOutcome::extended(Duration::from_micros(
                ttl_micros(lease.ttl).unsigned_abs(),
            ))),
        };
    }
    Ok(())
}
