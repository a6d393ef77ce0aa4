//! The instances of the application: one row each, which its heartbeat overwrites.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use uuid::Uuid;

use super::columns::Column;
use super::shared::Shared;
use super::sql::CLOCK;
use crate::common::row::{self, get};
use crate::common::server::Purpose;
use crate::common::{Damage, instance};
use crate::{InstanceRecord, Presence, Result};

/// The statements on one namespace's table of instances.
#[derive(Clone)]
pub(super) struct Statements {
    /// The table's name with its schema, quoted where necessary.
    pub(super) table: String,
    /// instance, presence, ttl: whether it is new.
    announce: SqlStr,
    /// instance: removes what others have left behind.
    sweep: SqlStr,
    /// instance.
    withdraw: SqlStr,
    list: SqlStr,
}

/// Its columns.
pub(super) const COLUMNS: [Column; 3] =
    [("instance", "uuid", true), ("presence", "text", true), ("expires_at", "bigint", true)];

impl Statements {
    pub(super) fn new(table: String) -> Self {
        let statement = |text: String| AssertSqlSafe(text).into_sql_str();
        Self {
            announce: statement(format!(
                "INSERT INTO {table} AS i (instance, presence, expires_at) \
                 VALUES ($1::uuid, $2, {CLOCK} + $3) ON CONFLICT (instance) DO UPDATE SET \
                     presence = excluded.presence, expires_at = {CLOCK} + $3 \
                 RETURNING xmax = 0 AS is_new"
            )),
            // Whoever is there again meanwhile is not waited for.
            sweep: statement(format!(
                "DELETE FROM {table} WHERE instance IN ( \
                     SELECT instance FROM {table} WHERE expires_at <= {CLOCK} AND instance <> $1::uuid \
                     FOR UPDATE SKIP LOCKED)"
            )),
            withdraw: statement(format!("DELETE FROM {table} WHERE instance = $1::uuid")),
            list: statement(format!(
                "SELECT instance::text AS instance, presence, expires_at, {CLOCK} AS clock \
                 FROM {table} AS instances ORDER BY instances.instance"
            )),
            table,
        }
    }
}

pub(super) fn create(table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (
    instance uuid NOT NULL PRIMARY KEY,
    presence text NOT NULL,
    expires_at bigint NOT NULL
) WITH (fillfactor = 50)"
    )
}

impl Shared {
    pub(super) async fn announce(&self, presence: &Presence, ttl: i64) -> Result<()> {
        let statements = &self.sql.instances;
        let (id, text) = (presence.holder.instance.to_string(), instance::written(presence)?);
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
            record(row).map_err(|damage| damage.in_table(&statements.table)).transpose()
        });
        Ok(instance::readable(records))
    }
}

/// The row's instance, unless it is known no more.
fn record(row: &PgRow) -> Result<Option<InstanceRecord>, Damage> {
    let left = row::left(get(row, "expires_at")?, get(row, "clock")?)?;
    let Some(left) = left else { return Ok(None) };
    Ok(Some(instance::read(get(row, "instance")?, get(row, "presence")?, left)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_expected_are_those_created() {
        let created = create("t");
        for (name, kind, filled) in COLUMNS {
            assert!(created.contains(&format!("    {name} {kind} NOT NULL")) && filled, "{name}");
        }
        assert_eq!(created.lines().count(), COLUMNS.len() + 2);
    }
}
