//! The instances of the application: one row each, which its heartbeat overwrites.

use uuid::Uuid;

use super::calls::Postgres;
use crate::Result;
use crate::shell::StoredInstance;
use crate::sql::pool::Purpose;
use crate::sql::row::{get, stored_instance};

impl Postgres {
    pub(super) async fn put_instance(&self, instance: Uuid, text: &str, ttl: i64) -> Result<()> {
        let (statements, id) = (&self.sql.instances, instance.to_string());
        let announce = || sqlx::query(statements.announce.clone()).bind(&id).bind(text).bind(ttl);
        let rows = self.write(Purpose::Presence, announce).await?;
        if rows.first().is_some_and(|row| get(row, "is_new").unwrap_or(false)) {
            let sweep = || sqlx::query(statements.sweep.clone()).bind(&id);
            self.write(Purpose::Presence, sweep).await?;
        }
        Ok(())
    }

    pub(super) async fn delete_instance(&self, instance: Uuid) -> Result<()> {
        let id = instance.to_string();
        let withdraw = || sqlx::query(self.sql.instances.withdraw.clone()).bind(&id);
        self.write(Purpose::Presence, withdraw).await.map(drop)
    }

    pub(super) async fn stored_instances(&self) -> Result<Vec<StoredInstance>> {
        let statements = &self.sql.instances;
        let rows = self.select(|| sqlx::query(statements.list.clone())).await?;
        Ok(rows.iter().filter_map(|row| stored_instance(row, &statements.table)).collect())
    }
}
