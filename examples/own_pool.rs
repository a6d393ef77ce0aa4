//! This example shows locks in the database that the application already has, on the application's
//! own pool.
//!
//! Because lock and data are in one database, a write can be made conditional on the lock's own
//! row: no column for tokens is needed in the application's tables, and a holder whose lock was
//! granted again changes nothing. Start it in two or more terminals: they take turns.
//!
//! ```text
//! cargo run -p leasehold-examples --example own_pool [sqlite:PATH]
//! ```

use std::error::Error;
use std::pin::pin;
use std::str::FromStr;
use std::time::Duration;

use leasehold::sqlite::SqliteStore;
use leasehold::{Client, FencingToken, OpenOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use tokio::time::sleep;

const LOCK: &str = "daily-report";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| {
        format!("sqlite:{}", std::env::temp_dir().join("leasehold-own-pool.db").display())
    });
    let options = SqliteConnectOptions::from_str(&url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePool::connect_with(options).await?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS report (id INTEGER PRIMARY KEY, runs INTEGER NOT NULL)",
    )
    .execute(&pool)
    .await?;
    sqlx::query("INSERT OR IGNORE INTO report VALUES (1, 0)").execute(&pool).await?;

    // This creates the table `leasehold_locks` in the application's database; `SqliteStore::schema`
    // prints the statements for an application that has its own migrations.
    let store = SqliteStore::from_pool(pool.clone(), &OpenOptions::default()).await?;
    let lock = Client::new(store)?.lock(LOCK)?;
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let mut previous = None;
    let mut done = false;
    while !done {
        let guard = tokio::select! {
            guard = lock.acquire(Duration::from_secs(60)) => guard?,
            _ = &mut interrupted => break,
        };
        let token = guard.token();
        println!("token {token}: the run is counted: {}", count_run(&pool, token).await?);
        if let Some(older) = previous.replace(token) {
            // This is a late write under the token of this instance's previous grant.
            println!("token {older}: the run is counted: {}", count_run(&pool, older).await?);
        }
        guard.release().await?;
        // Waiters are not served in order, so this instance pauses to let others acquire the lock.
        done = tokio::select! {
            () = sleep(Duration::from_secs(1)) => false,
            _ = &mut interrupted => true,
        };
    }
    pool.close().await;
    Ok(())
}

/// Counts a run unless the lock was granted again since. Check and write are one statement.
async fn count_run(pool: &SqlitePool, token: FencingToken) -> Result<bool, Box<dyn Error>> {
    let done = sqlx::query(
        "UPDATE report SET runs = runs + 1 \
         WHERE id = 1 AND EXISTS (SELECT 1 FROM leasehold_locks WHERE name = ?1 AND token = ?2)",
    )
    .bind(LOCK)
    .bind(i64::from(token))
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}
