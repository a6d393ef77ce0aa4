//! Which columns of MySQL's rows say what.

use sqlx::mysql::MySqlRow;

use crate::common::row::{self, Page, text_of_bytes};
use crate::{LockName, LockRecord, Result};

/// The whole row.
pub(super) fn record(row: &MySqlRow, table: &str) -> Result<LockRecord> {
    row::record(row, table, text_of_bytes)
}

/// Returns the records of a page.
pub(super) fn to_page(rows: &[MySqlRow], table: &str, prefix: &str) -> Page<Vec<u8>> {
    row::to_page(rows, table, prefix, text_of_bytes)
}

/// Returns the row's name.
pub(super) fn name(row: &MySqlRow, table: &str) -> Result<LockName> {
    row::name(row, table, text_of_bytes)
}
