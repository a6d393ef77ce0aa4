//! The floor of MySQL and MariaDB: two conditional updates, each in its own transaction.

use anyhow::Result;
use async_trait::async_trait;
use sqlx::Connection;
use sqlx::mysql::MySqlConnection;

use super::connections::Connections;
use super::driver::{Floor, MAX_CONNECTIONS, changed_one};

pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS leasehold_bench_floor \
     (name VARBINARY(255) PRIMARY KEY, lease VARBINARY(36)) ENGINE = InnoDB";
const ROW: &str = "INSERT INTO leasehold_bench_floor VALUES (?, NULL) \
     ON DUPLICATE KEY UPDATE lease = NULL";
pub(super) const SET: &str =
    "UPDATE leasehold_bench_floor SET lease = 'floor' WHERE name = ? AND lease IS NULL";
const UNSET: &str =
    "UPDATE leasehold_bench_floor SET lease = NULL WHERE name = ? AND lease = 'floor'";
pub(super) const SET_AND_UNSET: [&str; 2] = [SET, UNSET];

pub(super) struct MySql(Connections<MySqlConnection>);

pub(super) async fn open(url: &str, locks: &[String]) -> Result<MySql> {
    let mut connections = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        connections.push(MySqlConnection::connect(url).await?);
    }
    sqlx::query(TABLE).execute(&mut connections[0]).await?;
    for lock in locks {
        sqlx::query(ROW).bind(lock.as_bytes()).execute(&mut connections[0]).await?;
    }
    Ok(MySql(Connections::new(connections)))
}

#[async_trait]
impl Floor for MySql {
    async fn ping(&self) -> Result<()> {
        let mut connection = self.0.acquire().await?;
        connection.ping().await?;
        Ok(())
    }

    async fn set_and_unset(&self, lock: &str) -> Result<()> {
        for statement in SET_AND_UNSET {
            let mut connection = self.0.acquire().await?;
            let done =
                sqlx::query(statement).bind(lock.as_bytes()).execute(&mut *connection).await?;
            changed_one(done.rows_affected())?;
        }
        Ok(())
    }
}
