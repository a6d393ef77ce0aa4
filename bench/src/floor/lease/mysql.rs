//! Two updates. `LAST_INSERT_ID` with an argument puts the token into the answer to the first one,
//! since MySQL has no `RETURNING`.
//!
//! The clock is read at the statement's start. If the statement then waits for the row, the lease
//! ends earlier, which is safe.

use anyhow::Result;
use async_trait::async_trait;
use sqlx::Connection;
use sqlx::mysql::MySqlConnection;

use super::server::{LeasingServer, TTL_MICROS};
use crate::floor::connections::Connections;
use crate::floor::driver::{MAX_CONNECTIONS, changed_one};
use crate::floor::record::HOLDER;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS leasehold_bench_floor_lease \
     (name VARBINARY(255) PRIMARY KEY, token BIGINT NOT NULL, lease VARBINARY(36), \
     holder TEXT CHARACTER SET utf8mb4, expires_at BIGINT) ENGINE = InnoDB";
const ROW: &str = "INSERT INTO leasehold_bench_floor_lease VALUES (?, 1, NULL, NULL, NULL) \
     ON DUPLICATE KEY UPDATE lease = NULL, holder = NULL, expires_at = NULL";
const GRANT: &str = "UPDATE leasehold_bench_floor_lease SET \
         token = LAST_INSERT_ID(GREATEST(token + 1, \
             TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(6)))), \
         lease = ?, holder = ?, expires_at = \
             TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(6)) + ? \
     WHERE name = ? AND (lease IS NULL OR expires_at <= \
         TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(6)))";
const RELEASE: &str = "UPDATE leasehold_bench_floor_lease \
     SET lease = NULL, holder = NULL, expires_at = NULL WHERE name = ? AND lease = ?";

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
impl LeasingServer for MySql {
    async fn grant(&self, lock: &str, lease: &str) -> Result<i64> {
        let mut connection = self.0.acquire().await?;
        let grant = sqlx::query(GRANT).bind(lease.as_bytes()).bind(HOLDER).bind(TTL_MICROS);
        let done = grant.bind(lock.as_bytes()).execute(&mut *connection).await?;
        changed_one(done.rows_affected())?;
        Ok(i64::try_from(done.last_insert_id())?)
    }

    async fn release(&self, lock: &str, lease: &str) -> Result<()> {
        let mut connection = self.0.acquire().await?;
        let release = sqlx::query(RELEASE).bind(lock.as_bytes()).bind(lease.as_bytes());
        changed_one(release.execute(&mut *connection).await?.rows_affected())
    }
}
