//! Which columns of SQLite's rows say what.

use std::time::Duration;

use sqlx::sqlite::SqliteRow;

use super::clock::{MachineClock, Now};
use crate::sql::CorruptRecord;
use crate::sql::row::{self, LeaseColumns, get, text};
use crate::{LockName, LockRecord, Result};

/// The name in the row's column `name`.
pub(super) fn name(row: &SqliteRow, table: &str) -> Result<LockName> {
    row::name(row, table, text)
}

/// The whole row.
pub(super) fn record(
    row: &SqliteRow,
    table: &str,
    clock: &MachineClock,
    now: Now,
) -> Result<LockRecord> {
    let name = name(row, table)?;
    let parse = || {
        let columns = LeaseColumns {
            lease: get(row, "lease")?,
            holder: get(row, "holder")?,
            expires_at: get(row, "expires_at")?,
            granted_at: get(row, "granted_at")?,
            ending: get(row, "ending")?,
        };
        let (boot, set_at): (Option<String>, _) = (get(row, "boot")?, get(row, "set_at")?);
        if boot.is_some() != columns.lease.is_some() {
            return Err(CorruptRecord::new("the lease is incomplete"));
        }
        let left = |expires_at| -> Result<Option<Duration>, CorruptRecord> {
            Ok(clock.left(&boot.unwrap_or_default(), set_at, expires_at, now)?)
        };
        let token = row::token(get(row, "token")?)?;
        let lease = columns.record(now.wall, left)?;
        if lease.is_some() && token.is_none() {
            return Err(CorruptRecord::new("the lease has no token"));
        }
        let (reason, by) = (get(row, "disabled_reason")?, get(row, "disabled_by")?);
        let disabled = row::disabled(reason, by, get(row, "disabled_at")?, now.wall)?;
        Ok(LockRecord::unused(name.clone())
            .with_token(token)
            .with_lease(lease)
            .with_disabled(disabled))
    };
    parse().map_err(|corrupt: CorruptRecord| corrupt.into_error(table).for_lock(&name))
}
