//! The floor of MySQL and MariaDB: two conditional updates, each in its own transaction.

use anyhow::Result;
use async_trait::async_trait;
use sqlx::Connection;
use sqlx::mysql::MySqlConnection;

use super::driver::{CONNECTIONS, Floor, changed_one};
use super::sessions::Sessions;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS leasehold_bench_floor \
     (name VARBINARY(255) PRIMARY KEY, lease VARBINARY(36)) ENGINE = InnoDB";
const ROW: &str = "INSERT INTO leasehold_bench_floor VALUES (?, NULL) \
     ON DUPLICATE KEY UPDATE lease = NULL";
const SET: &str =
    "UPDATE leasehold_bench_floor SET lease = 'floor' WHERE name = ? AND lease IS NULL";
const UNSET: &str =
    "UPDATE leasehold_bench_floor SET lease = NULL WHERE name = ? AND lease = 'floor'";
pub(super) const PAIR: [&str; 2] = [SET, UNSET];

pub(super) struct MySql(Sessions<MySqlConnection>);

pub(super) async fn open(url: &str, locks: &[String]) -> Result<MySql> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(MySqlConnection::connect(url).await?);
    }
    sqlx::query(TABLE).execute(&mut connections[0]).await?;
    for lock in locks {
        sqlx::query(ROW).bind(lock.as_bytes()).execute(&mut connections[0]).await?;
    }
    Ok(MySql(Sessions::new(connections)))
}

#[async_trait]
impl Floor for MySql {
    async fn ping(&self) -> Result<()> {
        let mut session = self.0.take().await?;
        session.ping().await?;
        Ok(())
    }

    async fn pair(&self, lock: &str) -> Result<()> {
        for statement in PAIR {
            let mut session = self.0.take().await?;
            let done = sqlx::query(statement).bind(lock.as_bytes()).execute(&mut *session).await?;
            changed_one(done.rows_affected())?;
        }
        Ok(())
    }
}
