//! This module reads PostgreSQL's rows.

use std::time::Duration;

use sqlx::postgres::PgRow;

use crate::sql::CorruptRecord;
use crate::sql::row::{Columns, get, left, name, not_null, parse_column};
use crate::{LeaseId, LockName, RenewOutcome, Result};

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

/// Returns whose lease a row of a renewal is, and what became of it.
pub(super) fn renewal(
    row: &PgRow,
    table: &str,
) -> Result<((LockName, LeaseId), Result<RenewOutcome>)> {
    let (name, lease) = lease(row, table)?;
    let outcome = || match parse_column("reason", get(row, "reason")?)? {
        Some(reason) => {
            let left = left(get(row, "expires_at")?, get(row, "clock")?)?;
            Ok(RenewOutcome::disabled(reason, left.unwrap_or_default()))
        }
        None => {
            let ttl: i64 = get(row, "ttl")?;
            Ok(RenewOutcome::extended(Duration::from_micros(ttl.unsigned_abs())))
        }
    };
    let outcome =
        outcome().map_err(|corrupt: CorruptRecord| corrupt.into_error(table).for_lock(&name));
    Ok(((name, lease), outcome))
}
