//! The fence is tested on SQLite itself, with one connection and with several.

use std::sync::atomic::{AtomicBool, Ordering};

use leasehold_core::{FencingToken, LockName};

use super::*;
use crate::error::Error;

fn table(connection: &Connection) -> FenceTable {
    FenceTable::open(connection, &Namespace::default(), Schema::Create).unwrap()
}

fn fence(table: &FenceTable, token: u64) -> Fence {
    let name = LockName::new("ledger").unwrap();
    table.fence(&Term::new(&name, FencingToken::new(token).unwrap()))
}

const LIMIT: Duration = Duration::from_millis(100);

#[test]
fn an_older_term_passes_no_check_after_a_newer_one_has_raised() {
    let connection = Connection::open_in_memory().unwrap();
    let table = table(&connection);
    let (older, newer) = (fence(&table, 7), fence(&table, 8));
    older.raise(&connection, LIMIT).unwrap();
    older.raise(&connection, LIMIT).unwrap();
    newer.raise(&connection, LIMIT).unwrap();
    let transaction = connection.unchecked_transaction().unwrap();
    newer.check(&transaction).unwrap();
    assert!(older.check(&transaction).unwrap_err().is_stale());
    drop(transaction);
    assert!(older.raise(&connection, LIMIT).unwrap_err().is_stale());
    assert!(older.verify(&connection).unwrap_err().is_stale());
}

#[test]
fn a_check_before_raise_is_refused() {
    let connection = Connection::open_in_memory().unwrap();
    let table = table(&connection);
    let transaction = connection.unchecked_transaction().unwrap();
    let error = fence(&table, 7).check(&transaction).unwrap_err();
    assert!(matches!(error, Error::NotRaised(_)), "{error}");
    let error = fence(&table, 7).raise(&transaction, LIMIT).unwrap_err();
    assert!(error.to_string().contains("transactions of its own"), "{error}");
    let other = Namespace::new("other").unwrap();
    let error = FenceTable::open(&transaction, &other, Schema::Create).unwrap_err();
    assert!(error.to_string().contains("outside of a transaction"), "{error}");
}

#[test]
fn a_guarded_statement_changes_nothing_in_an_older_term() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (0)").unwrap();
    let table = table(&connection);
    let (older, newer) = (fence(&table, 7), fence(&table, 8));
    newer.raise(&connection, LIMIT).unwrap();
    for (fence, changed) in [(older, 0), (newer, 1)] {
        let guard = fence.guard(2);
        let (floor, token) = (fence.term().floor().get(), fence.term().token().get());
        let values = (1, "ledger", floor.cast_signed(), token.cast_signed());
        let update = format!("UPDATE t SET n = ?1 WHERE {}", guard.sql());
        assert_eq!(connection.execute(&update, values).unwrap(), changed);
    }
}

#[test]
fn raise_waits_for_a_writer_up_to_its_limit_and_restores_the_busy_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (first, second) = (Connection::open(&path).unwrap(), Connection::open(&path).unwrap());
    let fence = fence(&table(&first), 7);
    first.busy_timeout(Duration::from_millis(1234)).unwrap();
    second.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = fence.raise(&first, LIMIT).unwrap_err();
    let Error::Blocked(blocked) = error else { panic!("{error}") };
    assert!(blocked.waited >= LIMIT && blocked.sessions.is_empty(), "{blocked:?}");
    second.execute_batch("COMMIT").unwrap();
    fence.raise(&first, LIMIT).unwrap();
    let own = first.query_row("PRAGMA busy_timeout", [], |row| row.get::<_, i64>(0));
    assert_eq!(own.unwrap(), 1234);
}

/// One of the readers is always in a transaction, unless the other one could not begin for a while.
#[test]
fn readers_that_overlap_do_not_delay_raise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let connection = Connection::open(&path).unwrap();
    let journal = connection.query_row("PRAGMA journal_mode", [], |row| row.get::<_, String>(0));
    assert_eq!(journal.unwrap(), "delete");
    let fence = fence(&table(&connection), 7);
    let done = Arc::new(AtomicBool::new(false));
    let reading = std::thread::spawn({
        let done = Arc::clone(&done);
        let open = || {
            let reader = Connection::open(&path).unwrap();
            reader.busy_handler(Some(retries_soon)).unwrap();
            reader
        };
        let (mut current, mut next) = (open(), open());
        begin_to_read(&current).unwrap();
        move || {
            while !done.load(Ordering::Relaxed) {
                _ = begin_to_read(&next);
                current.execute_batch("ROLLBACK").unwrap();
                std::mem::swap(&mut current, &mut next);
                if current.is_autocommit() {
                    // The raise ends now.
                    while begin_to_read(&current).is_err() {}
                }
            }
        }
    });
    let raised = fence.raise(&connection, Duration::from_secs(60));
    done.store(true, Ordering::Relaxed);
    reading.join().unwrap();
    raised.unwrap();
}

fn begin_to_read(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN")?;
    let read = connection.query_row("SELECT count(*) FROM leasehold_fence", [], |_| Ok(()));
    if read.is_err() {
        connection.execute_batch("ROLLBACK")?;
    }
    read
}

fn retries_soon(tries: i32) -> bool {
    std::thread::sleep(Duration::from_micros(50));
    tries < 2000
}

#[test]
fn a_table_of_another_program_is_left_as_it_is() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("CREATE TABLE leasehold_fence (name TEXT, price REAL)").unwrap();
    for schema in [Schema::Create, Schema::Require] {
        let error = FenceTable::open(&connection, &Namespace::default(), schema).unwrap_err();
        assert!(error.to_string().contains("is not as leasehold creates it"), "{error}");
    }
    let namespace = Namespace::new("other").unwrap();
    let error = FenceTable::open(&connection, &namespace, Schema::Require).unwrap_err();
    assert!(error.to_string().contains("is missing"), "{error}");
}

#[test]
fn a_temporary_table_of_the_same_name_is_not_used() {
    let connection = Connection::open_in_memory().unwrap();
    let older = fence(&table(&connection), 7);
    fence(&table(&connection), 8).raise(&connection, LIMIT).unwrap();
    let temporary = "CREATE TEMP TABLE leasehold_fence (name TEXT PRIMARY KEY, token INTEGER); \
                     INSERT INTO temp.leasehold_fence VALUES ('ledger', 7)";
    connection.execute_batch(temporary).unwrap();
    for older in [older, fence(&table(&connection), 7)] {
        let transaction = connection.unchecked_transaction().unwrap();
        assert!(older.check(&transaction).unwrap_err().is_stale());
        drop(transaction);
        assert!(older.raise(&connection, LIMIT).unwrap_err().is_stale());
    }
}

#[test]
fn the_printed_schema_is_accepted() {
    let connection = Connection::open_in_memory().unwrap();
    let schema = crate::sql::schema(Database::Sqlite, &Namespace::default());
    connection.execute_batch(&schema).unwrap();
    FenceTable::open(&connection, &Namespace::default(), Schema::Require).unwrap();
}
