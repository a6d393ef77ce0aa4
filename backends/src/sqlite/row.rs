//! This module reads SQLite's rows, by the machine's clock.

use std::time::Duration;

use sqlx::sqlite::SqliteRow;

use super::clock::{MachineClock, Now};
use crate::sql::CorruptRecord;
pub(super) use crate::sql::row::name;
use crate::sql::row::{Columns, get, has, record_as_of};
use crate::{LockRecord, Result};

impl Columns for SqliteRow {
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
        get(self, column)
    }

    fn has(&self, column: &'static str) -> bool {
        has(self, column)
    }
}

/// Reads the whole row.
pub(super) fn record(
    row: &SqliteRow,
    table: &str,
    clock: &MachineClock,
    now: Now,
) -> Result<LockRecord> {
    record_as_of(row, table, |columns| {
        let (boot, set_at) = (row.text("boot")?, row.optional_integer("set_at")?);
        if boot.is_some() != columns.lease.is_some() {
            return Err(CorruptRecord::new("the lease is incomplete"));
        }
        let boot = boot.unwrap_or_default();
        let left = move |expires_at: i64| -> Result<Option<Duration>, CorruptRecord> {
            Ok(clock.left(&boot, set_at, expires_at, now)?)
        };
        Ok((now.wall, left))
    })
}
