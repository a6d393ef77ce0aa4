//! Which columns of MySQL's rows say what.

use sqlx::mysql::MySqlRow;

use crate::shell::{Entry, Found, Page};
use crate::sql::row::{self, text_of_bytes};
use crate::{LockName, LockRecord, Result};

/// The whole row.
pub(super) fn record(row: &MySqlRow, table: &str) -> Result<LockRecord> {
    row::record(row, table, text_of_bytes)
}

/// Returns what a row shows of a name.
pub(super) fn entry(row: &MySqlRow, table: &str) -> Entry {
    row::entry(row, table, text_of_bytes)
}

/// Returns what the rows of a page show.
pub(super) fn to_page(rows: &[MySqlRow], table: &str, page: &Page<'_>) -> Found<Entry> {
    row::to_page::<_, Vec<u8>>(rows, table, page, text_of_bytes)
}

/// Returns the row's name.
pub(super) fn name(row: &MySqlRow, table: &str) -> Result<LockName> {
    row::name(row, table, text_of_bytes)
}
