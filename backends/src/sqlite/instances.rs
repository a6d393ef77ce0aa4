//! The instances of the application: one row each, which its heartbeat overwrites.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use uuid::Uuid;

use super::clock::{MachineClock, Now, TOLERANCE};
use super::error;
use super::shared::Shared;
use super::table::Column;
use crate::common::row::get;
use crate::common::{Damage, instance};
use crate::{InstanceRecord, Namespace, Presence, Result};

/// The statements on one namespace's table of instances.
#[derive(Clone)]
pub(super) struct Statements {
    /// The table's name, safe to put into SQL as it is.
    pub(super) table: String,
    pub(super) create: String,
    /// instance, presence, boot, uptime, ttl.
    announce: SqlStr,
    /// boot, uptime: removes what others have left behind.
    sweep: SqlStr,
    /// instance.
    withdraw: SqlStr,
    list: SqlStr,
}

impl Statements {
    pub(super) fn new(namespace: &Namespace) -> Self {
        let table = format!("{namespace}_instances");
        let statement = |text: String| AssertSqlSafe(text).into_sql_str();
        Self {
            create: create(&table),
            announce: statement(format!(
                "INSERT INTO {table} (instance, presence, boot, expires_at) \
                 VALUES (?1, ?2, ?3, ?4 + ?5) ON CONFLICT (instance) DO UPDATE SET \
                     presence = ?2, boot = ?3, expires_at = ?4 + ?5"
            )),
            sweep: statement(format!(
                "DELETE FROM {table} WHERE expires_at <= ?2 \
                     OR (boot <> ?1 AND expires_at - ?2 > {LONGEST} + {TOLERANCE})"
            )),
            withdraw: statement(format!("DELETE FROM {table} WHERE instance = ?1")),
            list: statement(format!(
                "SELECT instance, presence, boot, expires_at FROM {table} ORDER BY instance"
            )),
            table,
        }
    }
}

/// Its columns.
pub(super) const COLUMNS: [Column; 4] = [
    ("instance", "TEXT", true),
    ("presence", "TEXT", true),
    ("boot", "TEXT", true),
    ("expires_at", "INTEGER", true),
];

/// An instance with another boot id can be known for at most this long, in microseconds; see
/// [`clock`](super::clock). Its row does not say when it was set.
const LONGEST: i64 = 60 * 60 * 1_000_000;

/// The most that can be left of a row with another boot id.
const LONGEST_LEFT: Duration = Duration::from_micros((LONGEST + TOLERANCE).unsigned_abs());

/// `expires_at` is in microseconds since the boot that `boot` names, like that of a lease.
fn create(table: &str) -> String {
    format!(
        "CREATE TABLE {table} (
    instance TEXT NOT NULL PRIMARY KEY COLLATE BINARY,
    presence TEXT NOT NULL,
    boot TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID"
    )
}

impl Shared {
    pub(super) async fn announce(&self, presence: &Presence, ttl: i64) -> Result<()> {
        let statements = &self.sql.instances;
        let (id, text) = (presence.holder.instance.to_string(), instance::written(presence)?);
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
        let rows = rows.await.map_err(error::unwritten)?;
        let now = self.clock.now();
        let records = rows.iter().filter_map(|row| {
            let record = record(row, &self.clock, now);
            record.map_err(|damage| damage.in_table(&statements.table)).transpose()
        });
        Ok(instance::readable(records))
    }
}

/// Returns the row's instance, unless it has expired.
fn record(
    row: &SqliteRow,
    clock: &MachineClock,
    now: Now,
) -> Result<Option<InstanceRecord>, Damage> {
    let boot: &str = get(row, "boot")?;
    let left = clock.left(boot, None, get(row, "expires_at")?, now)?;
    let left = left.filter(|left| boot == clock.boot() || *left <= LONGEST_LEFT);
    let Some(left) = left else { return Ok(None) };
    Ok(Some(instance::read(get(row, "instance")?, get(row, "presence")?, left)?))
}
