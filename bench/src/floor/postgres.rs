//! The floor of PostgreSQL: two conditional updates, each in its own transaction. The second is
//! committed asynchronously, as a release is.

use anyhow::Result;
use async_trait::async_trait;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::connections::Connections;
use super::driver::{Floor, MAX_CONNECTIONS, changed_one};

/// Pages are half empty, as in Leasehold's table, so that an update stays within its page.
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS leasehold_bench_floor \
     (name text PRIMARY KEY, lease text) WITH (fillfactor = 50)";
const ROW: &str = "INSERT INTO leasehold_bench_floor VALUES ($1, NULL) \
     ON CONFLICT (name) DO UPDATE SET lease = NULL";
pub(super) const SET: &str =
    "UPDATE leasehold_bench_floor SET lease = 'floor' WHERE name = $1 AND lease IS NULL";
const UNSET: &str = "UPDATE leasehold_bench_floor SET lease = NULL \
     WHERE name = $1 AND lease = 'floor' \
     RETURNING set_config('synchronous_commit', 'off', true)";
pub(super) const SET_AND_UNSET: [&str; 2] = [SET, UNSET];

pub(super) struct Postgres(Connections<PgConnection>);

pub(super) async fn open(url: &str, locks: &[String]) -> Result<Postgres> {
    let mut connections = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        connections.push(PgConnection::connect(url).await?);
    }
    sqlx::query(TABLE).execute(&mut connections[0]).await?;
    for lock in locks {
        sqlx::query(ROW).bind(lock.as_str()).execute(&mut connections[0]).await?;
    }
    Ok(Postgres(Connections::new(connections)))
}

#[async_trait]
impl Floor for Postgres {
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
