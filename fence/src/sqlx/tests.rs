//! Pools are tested with a fence on SQLite.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use leasehold_core::{FencingToken, LockName, Namespace};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Connection, SqliteConnection};
use tokio::time::sleep;

use super::SqliteFenceTable;
use crate::schema::Schema;
use crate::term::Term;

const LONG: Duration = Duration::from_secs(60);

fn term(token: u64) -> Term {
    Term::new(&LockName::new("ledger").unwrap(), FencingToken::new(token).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_older_transactions_does_not_delay_raise() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(folder.path().join("ledger.db"));
    let options = options.create_if_missing(true).busy_timeout(LONG);
    let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
    sqlx::raw_sql("CREATE TABLE ledger (n INTEGER)").execute(&pool).await.unwrap();
    let table = SqliteFenceTable::open(&pool, &Namespace::default(), Schema::Create).await;
    let table = table.unwrap();
    let (older, newer) = (table.fence(&term(7)), table.fence(&term(8)));
    older.raise(&pool, LONG).await.unwrap();
    let raised = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for _ in 0..4 {
        let (older, pool, raised) = (older.clone(), pool.clone(), Arc::clone(&raised));
        writers.push(tokio::spawn(async move {
            // A writer that is refused tries again at once.
            while !raised.load(Ordering::Relaxed) {
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
                if older.check(&mut transaction).await.is_ok() {
                    let write = sqlx::query("INSERT INTO ledger VALUES (1)");
                    write.execute(&mut *transaction).await.unwrap();
                    sleep(Duration::from_millis(50)).await;
                    transaction.commit().await.unwrap();
                } else {
                    transaction.rollback().await.unwrap();
                }
            }
        }));
    }
    sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    newer.raise(&pool, LONG).await.unwrap();
    eprintln!("sqlite: raised after {:?}", began.elapsed());
    raised.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let mut transaction = pool.begin().await.unwrap();
    assert!(older.check(&mut transaction).await.unwrap_err().is_stale());
}

#[tokio::test]
async fn raise_waits_for_a_connection_of_the_pool_up_to_its_limit() {
    // The pool's own limit, of 30 seconds, has another message.
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await;
    let pool = pool.unwrap();
    let table = SqliteFenceTable::open(&pool, &Namespace::default(), Schema::Create).await;
    let fence = table.unwrap().fence(&term(7));
    let only = pool.acquire().await.unwrap();
    let error = fence.raise(&pool, Duration::from_millis(10)).await.unwrap_err();
    assert!(error.to_string().contains("no free connection"), "{error}");
    assert!(error.is_transient() && !error.is_blocked(), "{error}");
    drop(only);
    fence.raise(&pool, LONG).await.unwrap();
}

#[tokio::test]
async fn a_dropped_transaction_does_not_count_as_open() {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    for number in 0..20 {
        let namespace = Namespace::new(format!("n{number}")).unwrap();
        drop(connection.begin().await.unwrap());
        let table = SqliteFenceTable::open_on(&mut connection, &namespace, Schema::Create).await;
        drop(connection.begin().await.unwrap());
        table.unwrap().fence(&term(7)).raise_on(&mut connection, LONG).await.unwrap();
    }
}
