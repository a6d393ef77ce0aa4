//! The floor of SQLite: two write transactions, with the durability that Leasehold's store has.

use anyhow::Result;
use async_trait::async_trait;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnection;

use super::connections::Connections;
use super::driver::{Floor, changed_one};
use crate::leasehold_client::sqlite_options;

pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS leasehold_bench_floor \
     (name TEXT PRIMARY KEY, lease TEXT) WITHOUT ROWID";
const ROW: &str = "INSERT OR REPLACE INTO leasehold_bench_floor VALUES (?1, NULL)";
const SET: &str =
    "UPDATE leasehold_bench_floor SET lease = 'floor' WHERE name = ?1 AND lease IS NULL";
pub(super) const UNSET: &str =
    "UPDATE leasehold_bench_floor SET lease = NULL WHERE name = ?1 AND lease = 'floor'";
pub(super) const SET_AND_UNSET: [&str; 2] = [SET, UNSET];

pub(super) struct Sqlite(Connections<SqliteConnection>);

/// Opens one connection, because one at a time can write.
pub(super) async fn open(url: &str, locks: &[String]) -> Result<Sqlite> {
    let mut connection = sqlite_options(url).connect().await?;
    sqlx::query(TABLE).execute(&mut connection).await?;
    for lock in locks {
        sqlx::query(ROW).bind(lock.as_str()).execute(&mut connection).await?;
    }
    Ok(Sqlite(Connections::new(vec![connection])))
}

#[async_trait]
impl Floor for Sqlite {
    async fn ping(&self) -> Result<()> {
        let mut connection = self.0.acquire().await?;
        sqlx::query("SELECT 1").execute(&mut *connection).await?;
        Ok(())
    }

    async fn set_and_unset(&self, lock: &str) -> Result<()> {
        for statement in SET_AND_UNSET {
            let mut connection = self.0.acquire().await?;
            let done = sqlx::query(statement).bind(lock).execute(&mut *connection).await?;
            changed_one(done.rows_affected())?;
        }
        Ok(())
    }
}
