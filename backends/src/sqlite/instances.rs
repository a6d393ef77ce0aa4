//! The instances of the application: one row each, which its heartbeat overwrites.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use uuid::Uuid;

use super::clock::{MAX_INSTANCE_TTL, MachineClock, Now, TOLERANCE};
use super::error;
use super::shared::SqliteInner;
use crate::common::row::get;
use crate::common::{CorruptRecord, instance};
use crate::{InstanceRecord, Presence, Result};

/// The most that can be left of a row with another boot id.
const MAX_LEFT: Duration = Duration::from_micros((MAX_INSTANCE_TTL + TOLERANCE).unsigned_abs());

impl SqliteInner {
    pub(super) async fn announce(&self, presence: &Presence, ttl: i64) -> Result<()> {
        let statements = &self.sql.instances;
        let (id, text) = (presence.holder.instance.to_string(), instance::encode(presence)?);
        let work = async |connection: &mut SqliteConnection, now: Now| {
            let announce = sqlx::query(statements.announce.clone())
                .bind(id)
                .bind(text)
                .bind(self.clock.boot())
                .bind(now.uptime)
                .bind(ttl);
            announce.execute(&mut *connection).await.map_err(error::writing)?;
            let sweep =
                sqlx::query(statements.sweep.clone()).bind(self.clock.boot()).bind(now.uptime);
            sweep.execute(connection).await.map_err(error::writing)
        };
        self.write(work).await.map(drop)
    }

    pub(super) async fn withdraw(&self, instance: Uuid) -> Result<()> {
        let work = async |connection: &mut SqliteConnection, _: Now| {
            let withdraw = sqlx::query(self.sql.instances.withdraw.clone());
            withdraw.bind(instance.to_string()).execute(connection).await.map_err(error::writing)
        };
        self.write(work).await.map(drop)
    }

    pub(super) async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        let statements = &self.sql.instances;
        let mut connection = self.connection().await?;
        let rows = sqlx::query(statements.list.clone()).fetch_all(&mut *connection);
        let rows = rows.await.map_err(error::not_written)?;
        let now = self.clock.now();
        let records = rows.iter().filter_map(|row| {
            let record = record(row, &self.clock, now);
            record.map_err(|corrupt| corrupt.into_error(&statements.table)).transpose()
        });
        Ok(instance::skip_corrupt(records))
    }
}

/// Returns the row's instance, unless it has expired.
fn record(
    row: &SqliteRow,
    clock: &MachineClock,
    now: Now,
) -> Result<Option<InstanceRecord>, CorruptRecord> {
    let boot: &str = get(row, "boot")?;
    let left = clock.left(boot, None, get(row, "expires_at")?, now)?;
    let left = left.filter(|left| boot == clock.boot() || *left <= MAX_LEFT);
    let Some(left) = left else { return Ok(None) };
    Ok(Some(instance::decode(get(row, "instance")?, get(row, "presence")?, left)?))
}
