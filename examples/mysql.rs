//! This example shows a lock in the MySQL or MariaDB database that the application already has, on
//! its own pool.
//!
//! The write is made conditional on the lock's own row, so that a holder whose lock was granted
//! again changes nothing. `LOCK IN SHARE MODE` is necessary for that: without it the server may
//! read the row, then wait for another session's write, and continue with what it read although the
//! lock was granted again. Start the example in two or more terminals: they take turns.
//!
//! ```text
//! cargo run -p leasehold-examples --example mysql mysql://USER:PASSWORD@HOST/DATABASE
//! ```

use std::error::Error;
use std::time::Duration;

use leasehold::mysql::MySqlStore;
use leasehold::{Client, OpenOptions};
use sqlx::mysql::MySqlPoolOptions;
use tokio::time::sleep;

const LOCK: &str = "daily-report";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).or_else(|| std::env::var("DATABASE_URL").ok());
    let url = url.ok_or("give the URL of a MySQL or MariaDB database, or set DATABASE_URL")?;
    let pool = MySqlPoolOptions::new().max_connections(2).connect(&url).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS report (id int PRIMARY KEY, runs int NOT NULL)")
        .execute(&pool)
        .await?;
    sqlx::query("INSERT IGNORE INTO report VALUES (1, 0)").execute(&pool).await?;

    // This creates the table `leasehold_locks` in the application's database; `MySqlStore::schema`
    // prints the statements for an application that has its own migrations.
    let store = MySqlStore::from_pool(pool.clone(), &OpenOptions::default()).await?;
    let lock = Client::new(store)?.lock(LOCK)?;
    for _ in 0..5 {
        let guard = lock.acquire(Duration::from_secs(60)).await?;
        let done = sqlx::query(
            "UPDATE report SET runs = runs + 1 WHERE id = 1 AND EXISTS \
             (SELECT 1 FROM leasehold_locks WHERE name = ? AND token = ? LOCK IN SHARE MODE)",
        )
        .bind(LOCK)
        .bind(i64::from(guard.token()))
        .execute(&pool)
        .await?;
        println!("token {}: the run is counted: {}", guard.token(), done.rows_affected() == 1);
        guard.release().await?;
        // Waiters are not served in order, so this instance pauses to let others acquire the lock.
        sleep(Duration::from_secs(1)).await;
    }
    pool.close().await;
    Ok(())
}
