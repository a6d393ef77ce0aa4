//! The instances of the application: one row each, which its heartbeat overwrites.

use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use uuid::Uuid;

use super::shared::Shared;
use super::sql::{CLOCK, Column, qualified};
use crate::common::row::{self, get, present, text_of_bytes as text};
use crate::common::server::Purpose;
use crate::common::{Damage, instance};
use crate::{InstanceRecord, Namespace, Presence, Result};

/// The statements on one namespace's table of instances.
#[derive(Clone)]
pub(super) struct Statements {
    /// The table's name without its database.
    pub(super) name: String,
    /// The table's name with its database, quoted.
    table: String,
    /// Creates the table where it is missing.
    pub(super) create: String,
    /// instance, presence, ttl, presence, ttl: its id is 1 unless it is new.
    announce: SqlStr,
    /// instance: removes what others have left behind.
    sweep: SqlStr,
    /// instance.
    withdraw: SqlStr,
    list: SqlStr,
}

/// Its columns.
pub(super) const COLUMNS: [Column; 3] = [
    ("instance", "varbinary(36)", true),
    ("presence", "longtext", true),
    ("expires_at", "bigint", true),
];

/// The answer of an announcement by an instance that was known.
const KNOWN: u64 = 1;

impl Statements {
    pub(super) fn new(namespace: &Namespace, database: &str) -> Self {
        let name = format!("{namespace}_instances");
        let table = qualified(database, &name);
        let statement = |text: String| AssertSqlSafe(text).into_sql_str();
        Self {
            create: create(&name),
            announce: statement(format!(
                "INSERT INTO {table} (instance, presence, expires_at) \
                 VALUES (?, ?, {CLOCK} + ?) ON DUPLICATE KEY UPDATE \
                     presence = IF(LAST_INSERT_ID({KNOWN}) = {KNOWN}, ?, NULL), \
                     expires_at = {CLOCK} + ?"
            )),
            sweep: statement(format!(
                "DELETE FROM {table} WHERE expires_at <= {CLOCK} AND instance <> ?"
            )),
            withdraw: statement(format!("DELETE FROM {table} WHERE instance = ?")),
            list: statement(format!(
                "SELECT instance, CAST(presence AS BINARY) AS presence, expires_at, \
                 {CLOCK} AS clock FROM {table} ORDER BY instance"
            )),
            name,
            table,
        }
    }
}

fn create(table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (
    instance varbinary(36) NOT NULL PRIMARY KEY,
    presence longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    expires_at bigint NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC"
    )
}

impl Shared {
    pub(super) async fn announce(&self, presence: &Presence, ttl: i64) -> Result<()> {
        let statements = &self.sql.instances;
        let (id, text) = (presence.holder.instance.to_string(), instance::written(presence)?);
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
            record(row).map_err(|damage| damage.in_table(&statements.table)).transpose()
        });
        Ok(instance::readable(records))
    }
}

/// The row's instance, unless it is known no more.
fn record(row: &MySqlRow) -> Result<Option<InstanceRecord>, Damage> {
    let left = row::left(get(row, "expires_at")?, get(row, "clock")?)?;
    let Some(left) = left else { return Ok(None) };
    let id = present("instance", text(row, "instance")?)?;
    let presence = present("presence", text(row, "presence")?)?;
    Ok(Some(instance::read(&id, &presence, left)?))
}
