//! The instances of the application: one row each, which its heartbeat overwrites.

use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::shared::PostgresInner;
use crate::common::row::{self, get};
use crate::common::server::Purpose;
use crate::common::{CorruptRecord, instance};
use crate::{InstanceRecord, Presence, Result};

impl PostgresInner {
    pub(super) async fn announce(&self, presence: &Presence, ttl: i64) -> Result<()> {
        let statements = &self.sql.instances;
        let (id, text) = (presence.holder.instance.to_string(), instance::encode(presence)?);
        let announce = || sqlx::query(statements.announce.clone()).bind(&id).bind(&text).bind(ttl);
        let rows = self.write(Purpose::Presence, announce).await?;
        if rows.first().is_some_and(|row| get(row, "is_new").unwrap_or(false)) {
            let sweep = || sqlx::query(statements.sweep.clone()).bind(&id);
            self.write(Purpose::Presence, sweep).await?;
        }
        Ok(())
    }

    pub(super) async fn withdraw(&self, instance: Uuid) -> Result<()> {
        let id = instance.to_string();
        let withdraw = || sqlx::query(self.sql.instances.withdraw.clone()).bind(&id);
        self.write(Purpose::Presence, withdraw).await.map(drop)
    }

    pub(super) async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        let statements = &self.sql.instances;
        let rows = self.read(|| sqlx::query(statements.list.clone())).await?;
        let records = rows.iter().filter_map(|row| {
            record(row).map_err(|corrupt| corrupt.into_error(&statements.table)).transpose()
        });
        Ok(instance::skip_corrupt(records))
    }
}

/// Returns the row's instance, unless it has expired.
fn record(row: &PgRow) -> Result<Option<InstanceRecord>, CorruptRecord> {
    let left = row::left(get(row, "expires_at")?, get(row, "clock")?)?;
    let Some(left) = left else { return Ok(None) };
    Ok(Some(instance::decode(get(row, "instance")?, get(row, "presence")?, left)?))
}
