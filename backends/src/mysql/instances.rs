//! The instances of the application: one row each, which its heartbeat overwrites.

use uuid::Uuid;

use super::calls::MySql;
use super::sql::KNOWN;
use crate::Result;
use crate::shell::StoredInstance;
use crate::sql::pool::Purpose;
use crate::sql::row::stored_instance;

impl MySql {
    pub(super) async fn put_instance(&self, instance: Uuid, text: &str, ttl: i64) -> Result<()> {
        let (statements, id) = (&self.sql.instances, instance.to_string());
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

    pub(super) async fn delete_instance(&self, instance: Uuid) -> Result<()> {
        let id = instance.to_string();
        let withdraw = || sqlx::query(self.sql.instances.withdraw.clone()).bind(id.as_bytes());
        self.write(Purpose::Presence, withdraw).await.map(drop)
    }

    pub(super) async fn stored_instances(&self) -> Result<Vec<StoredInstance>> {
        let (table, list) = (&self.sql.instances.table, &self.sql.instances.list);
        let rows = self.select(|| sqlx::query(list.clone())).await?;
        Ok(rows.iter().filter_map(|row| stored_instance(row, table)).collect())
    }
}
