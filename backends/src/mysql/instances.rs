//! The instances of the application: one row each, which its heartbeat overwrites.

use sqlx::mysql::MySqlRow;
use uuid::Uuid;

use super::shared::MySqlInner;
use super::sql::KNOWN;
use crate::common::row::{self, get, not_null, text_of_bytes as text};
use crate::common::server::Purpose;
use crate::common::{CorruptRecord, instance};
use crate::{InstanceRecord, Presence, Result};

impl MySqlInner {
    pub(super) async fn announce(&self, presence: &Presence, ttl: i64) -> Result<()> {
        let statements = &self.sql.instances;
        let (id, text) = (presence.holder.instance.to_string(), instance::encode(presence)?);
        let (id, text) = (id.as_bytes(), text.as_bytes());
        let announce = || {
            sqlx::query(statements.announce.clone())
                .bind(id)
                .bind(text)
                .bind(ttl)
                .bind(text)
                .bind(ttl)
        };
        if self.write(Purpose::Presence, announce).await? != KNOWN {
            let sweep = || sqlx::query(statements.sweep.clone()).bind(id);
            self.write(Purpose::Presence, sweep).await?;
        }
        Ok(())
    }

    pub(super) async fn withdraw(&self, instance: Uuid) -> Result<()> {
        let id = instance.to_string();
        let withdraw = || sqlx::query(self.sql.instances.withdraw.clone()).bind(id.as_bytes());
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
fn record(row: &MySqlRow) -> Result<Option<InstanceRecord>, CorruptRecord> {
    let left = row::left(get(row, "expires_at")?, get(row, "clock")?)?;
    let Some(left) = left else { return Ok(None) };
    let id = not_null("instance", text(row, "instance")?)?;
    let presence = not_null("presence", text(row, "presence")?)?;
    Ok(Some(instance::decode(&id, &presence, left)?))
}
