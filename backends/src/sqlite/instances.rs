//! The instances of the application: one row each, which its heartbeat overwrites.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use uuid::Uuid;

use super::clock::{MAX_INSTANCE_TTL, Now, TOLERANCE};
use super::error_codes;
use super::transactions::Sqlite;
use crate::Result;
use crate::shell::StoredInstance;
use crate::sql::row::{get, stored_instance_with};

/// The most that can be left of a row with another boot id.
const MAX_LEFT: Duration = Duration::from_micros((MAX_INSTANCE_TTL + TOLERANCE).unsigned_abs());

impl Sqlite {
    pub(super) async fn put_instance(&self, instance: Uuid, text: &str, ttl: i64) -> Result<()> {
        let statements = &self.sql.instances;
        let work = async |connection: &mut SqliteConnection, now: Now| {
            let announce = sqlx::query(statements.announce.clone())
                .bind(instance.to_string())
                .bind(text)
                .bind(self.clock.boot())
                .bind(now.uptime)
                .bind(ttl);
            announce.execute(&mut *connection).await.map_err(error_codes::writing)?;
            let sweep =
                sqlx::query(statements.sweep.clone()).bind(self.clock.boot()).bind(now.uptime);
            sweep.execute(connection).await.map_err(error_codes::writing)
        };
        self.write(work).await.map(drop)
    }

    pub(super) async fn delete_instance(&self, instance: Uuid) -> Result<()> {
        let work = async |connection: &mut SqliteConnection, _: Now| {
            let withdraw = sqlx::query(self.sql.instances.withdraw.clone());
            let withdraw = withdraw.bind(instance.to_string()).execute(connection);
            withdraw.await.map_err(error_codes::writing)
        };
        self.write(work).await.map(drop)
    }

    pub(super) async fn stored_instances(&self) -> Result<Vec<StoredInstance>> {
        let statements = &self.sql.instances;
        let mut connection = self.connection().await?;
        let rows = sqlx::query(statements.list.clone()).fetch_all(&mut *connection);
        let rows = rows.await.map_err(error_codes::not_written)?;
        let now = self.clock.now();
        Ok(rows.iter().filter_map(|row| self.stored_instance(row, now)).collect())
    }

    /// Returns what the row shows of an instance, unless that has expired.
    fn stored_instance(&self, row: &SqliteRow, now: Now) -> Option<StoredInstance> {
        stored_instance_with(row, &self.sql.instances.table, || {
            let boot: &str = get(row, "boot")?;
            let left = self.clock.left(boot, None, get(row, "expires_at")?, now)?;
            Ok(left.filter(|left| boot == self.clock.boot() || *left <= MAX_LEFT))
        })
    }
}
