//! One update by a list of names in JSON, with the durability that Leasehold's store has.

use anyhow::Result;
use async_trait::async_trait;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnection;

use super::driver::{Extender, Extenders, LEASE, TTL_MICROS};
use crate::floor::record::HOLDER;
use crate::leasehold_client::sqlite_options;

const DROP: &str = "DROP TABLE IF EXISTS leasehold_bench_floor_heartbeat";
const TABLE: &str = "CREATE TABLE leasehold_bench_floor_heartbeat \
     (name TEXT PRIMARY KEY, token INTEGER NOT NULL, lease TEXT, holder TEXT, \
     expires_at INTEGER) WITHOUT ROWID";
const FILL: &str = "INSERT INTO leasehold_bench_floor_heartbeat \
     SELECT value, 1, ?2, ?3, CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER) + ?4 \
     FROM json_each(?1)";
const EXTEND: &str = "UPDATE leasehold_bench_floor_heartbeat \
     SET expires_at = CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER) + ?3 \
     WHERE name IN (SELECT value FROM json_each(?1)) AND lease = ?2 \
         AND expires_at > CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)";

struct Sqlite(SqliteConnection);

/// Opens one connection, because one at a time can write.
pub(super) async fn open(url: &str, names: &[String]) -> Result<Extenders> {
    let mut connection = sqlite_options(url).connect().await?;
    for statement in [DROP, TABLE] {
        sqlx::query(statement).execute(&mut connection).await?;
    }
    let fill = sqlx::query(FILL).bind(serde_json::to_string(names)?).bind(LEASE).bind(HOLDER);
    fill.bind(TTL_MICROS).execute(&mut connection).await?;
    let connections: Extenders = vec![Box::new(Sqlite(connection))];
    Ok(connections)
}

#[async_trait]
impl Extender for Sqlite {
    async fn extend(&mut self, names: &[String]) -> Result<u64> {
        let names = serde_json::to_string(names)?;
        let extend = sqlx::query(EXTEND).bind(names).bind(LEASE).bind(TTL_MICROS);
        Ok(extend.execute(&mut self.0).await?.rows_affected())
    }
}
