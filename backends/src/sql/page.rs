//! This module returns what rows show as the entries of a page, in which a corrupt row hides no
//! other.

use super::row::{Columns, name};
use crate::shell::{Entry, Found, Page};
use crate::{LockRecord, Result};

/// Returns the record, or what is known of a row that has none.
pub(crate) fn entry(record: Result<LockRecord>, row: &impl Columns, table: &str) -> Entry {
    match record {
        Ok(record) => Entry::Record(record),
        Err(error) => Entry::Corrupt { name: name(row, table).ok(), error },
    }
}

/// Returns what rows show, in the order of names, up to the first name without the prefix.
pub(crate) fn to_page<R: Columns>(
    rows: &[R],
    table: &str,
    page: &Page<'_>,
    record: impl Fn(&R) -> Result<LockRecord>,
) -> Found<Entry> {
    let (mut entries, mut last) = (Vec::new(), None);
    for row in rows {
        let key = row.bytes("name").ok();
        if key.as_ref().is_some_and(|key| !key.starts_with(page.prefix.as_bytes())) {
            return Found { entries, next: None };
        }
        last = key;
        entries.push(entry(record(row), row, table));
    }
    // Values that are not text may sort after all text, so no name follows them.
    let is_next = |last: &Vec<u8>| page.after.is_none_or(|after| last.as_slice() > after);
    Found { entries, next: last.filter(|last| rows.len() >= page.limit && is_next(last)) }
}
