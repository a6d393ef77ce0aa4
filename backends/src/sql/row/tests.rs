use std::collections::BTreeMap;

use uuid::Uuid;

use super::*;
use crate::shell::entries::StoredEntry;
use crate::{Holder, LeaseId};

const CLOCK: i64 = 1_700_000_000_000_000;
const SECOND: i64 = 1_000_000;

/// A row of a server. A column without a value is NULL.
struct TestRow(BTreeMap<&'static str, Cell>);

#[derive(Clone)]
enum Cell {
    Null,
    Integer(i64),
    Text(String),
}

impl Columns for TestRow {
    fn integer(&self, column: &'static str) -> Result<i64, CorruptRecord> {
        not_null(column, self.optional_integer(column)?)
    }

    fn optional_integer(&self, column: &'static str) -> Result<Option<i64>, CorruptRecord> {
        match self.0.get(column) {
            Some(Cell::Integer(number)) => Ok(Some(*number)),
            Some(Cell::Null) => Ok(None),
            _ => Err(CorruptRecord::new(format!("cannot read column {column}"))),
        }
    }

    fn text(&self, column: &'static str) -> Result<Option<String>, CorruptRecord> {
        match self.0.get(column) {
            Some(Cell::Text(text)) => Ok(Some(text.clone())),
            Some(Cell::Null) => Ok(None),
            _ => Err(CorruptRecord::new(format!("cannot read column {column}"))),
        }
    }

    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, CorruptRecord> {
        Ok(not_null(column, self.text(column)?)?.into_bytes())
    }

    fn has(&self, column: &'static str) -> bool {
        self.0.contains_key(column)
    }
}

fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

fn holder() -> Holder {
    Holder::new(Uuid::nil(), "host", 1)
}

/// Returns the row of a name with a lease of that id, which is in force, without the columns of a
/// queue.
fn leased(lease: LeaseId) -> TestRow {
    TestRow(BTreeMap::from([
        ("name", text("job")),
        ("token", Cell::Integer(7)),
        ("lease", text(lease.to_string())),
        ("holder", text(serde_json::to_string(&holder()).unwrap())),
        ("granted_at", Cell::Integer(CLOCK - SECOND)),
        ("expires_at", Cell::Integer(CLOCK + 9 * SECOND)),
        ("ending", Cell::Null),
        ("disabled_reason", Cell::Null),
        ("disabled_by", Cell::Null),
        ("disabled_at", Cell::Null),
        ("clock", Cell::Integer(CLOCK)),
    ]))
}

fn stored(number: u64, left: i64) -> StoredEntry {
    StoredEntry {
        lease: LeaseId::from_uuid(Uuid::from_u128(u128::from(number))),
        token: FencingToken::new(number).unwrap(),
        weight: 1,
        holder: holder(),
        entered_at: CLOCK - SECOND,
        expires_at: CLOCK + left * SECOND,
        ending: None,
    }
}

/// Returns the row of a name with these entries.
fn queued(entries: &[StoredEntry]) -> TestRow {
    let mut row = leased(LeaseId::from_uuid(MARKER));
    row.0.insert("kind", text("semaphore:2"));
    row.0.insert("queue", text(entries::write(entries).unwrap()));
    row
}

fn read(row: &TestRow) -> Result<LockRecord> {
    record(row, "locks")
}

fn is_corrupt(row: &TestRow) -> bool {
    read(row).is_err_and(|error| error.kind() == ErrorKind::Corrupt)
}

#[test]
fn a_ttl_is_rounded_up_to_the_microsecond() {
    assert_eq!(ttl_micros(Duration::from_nanos(1)), 1);
    assert_eq!(ttl_micros(Duration::from_micros(7)), 7);
    assert_eq!(ttl_micros(Duration::MAX), i64::MAX);
}

#[test]
fn a_row_with_the_marker_has_a_queue() {
    let record = read(&queued(&[stored(5, 9), stored(6, 0), stored(7, 1)])).unwrap();
    assert_eq!((record.lease, record.kind), (None, LockKind::semaphore(2).unwrap()));
    assert_eq!(record.token.map(FencingToken::get), Some(7));
    let queue = record.queue.unwrap();
    assert_eq!(queue.holding, 2);
    let left: Vec<_> = queue.entries.iter().map(|e| (e.token.get(), e.left.as_secs())).collect();
    assert_eq!(left, [(5, 9), (7, 1)]);
    assert_eq!(queue.entries[0].entered, Duration::from_secs(1));
}

#[test]
fn a_row_without_the_marker_has_none_whatever_the_columns_contain() {
    let id = LeaseId::new();
    let mut row = leased(id);
    for (kind, queue) in [(Cell::Null, Cell::Null), (text("fair"), text("damaged"))] {
        row.0.insert("kind", kind);
        row.0.insert("queue", queue);
        let record = read(&row).unwrap();
        assert_eq!((record.queue, record.kind), (None, LockKind::Exclusive));
        assert_eq!(record.lease.map(|lease| lease.id), Some(id));
    }
    // The table of an earlier version lacks the columns.
    assert!(read(&leased(id)).unwrap().lease.is_some());
}

#[test]
fn a_store_that_does_not_read_the_queue_finds_the_name_held() {
    let marker = LeaseId::from_uuid(MARKER);
    let record = read(&leased(marker)).unwrap();
    assert_eq!(record.lease.map(|lease| lease.id), Some(marker));
    assert_eq!((record.queue, record.kind), (None, LockKind::Exclusive));
}

#[test]
fn a_queue_ends_with_its_row() {
    let mut row = queued(&[stored(7, 0)]);
    row.0.insert("expires_at", Cell::Integer(CLOCK));
    let record = read(&row).unwrap();
    assert_eq!((record.lease, record.queue), (None, None));
    for column in ["lease", "holder", "granted_at", "expires_at"] {
        row.0.insert(column, Cell::Null);
    }
    assert_eq!(read(&row).unwrap().queue, None);
}

#[test]
fn the_reason_of_the_row_tells_all_entries_to_leave() {
    let reason = Reason::new("upkeep").unwrap();
    let mut row = queued(&[stored(6, 9), stored(7, 9)]);
    row.0.insert("ending", text("upkeep"));
    let queue = read(&row).unwrap().queue.unwrap();
    assert!(queue.entries.iter().all(|entry| entry.ending.as_ref() == Some(&reason)));
}

#[test]
fn a_damaged_queue_is_corrupt() {
    assert!(!is_corrupt(&queued(&[stored(7, 9)])));
    for (column, cell) in [
        ("kind", Cell::Null),
        ("kind", text("exclusive")),
        ("kind", Cell::Integer(1)),
        ("queue", Cell::Null),
        ("queue", text("damaged")),
        ("queue", text("[]")),
        ("holder", Cell::Null),
        ("token", Cell::Integer(0)),
    ] {
        let mut row = queued(&[stored(7, 9)]);
        row.0.insert(column, cell);
        assert!(is_corrupt(&row), "{column}");
    }
    // The row expires with its last entry.
    assert!(is_corrupt(&queued(&[stored(7, 0)])));
}
