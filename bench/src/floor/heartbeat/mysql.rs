//! One update by a list of names, each of which is a parameter.

use anyhow::Result;
use async_trait::async_trait;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::driver::{CONNECTIONS, Extender, Extenders, LEASE, TTL_MICROS};
use crate::floor::record::HOLDER;

const DROP: &str = "DROP TABLE IF EXISTS leasehold_bench_floor_heartbeat";
const TABLE: &str = "CREATE TABLE leasehold_bench_floor_heartbeat \
     (name VARBINARY(255) PRIMARY KEY, token BIGINT NOT NULL, lease VARBINARY(36), \
     holder TEXT CHARACTER SET utf8mb4, expires_at BIGINT) ENGINE = InnoDB";
const FILL: &str = "INSERT INTO leasehold_bench_floor_heartbeat \
     SELECT n.name, 1, ?, ?, \
         TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(6)) + ? \
     FROM JSON_TABLE(CONVERT(? USING utf8mb4), '$[*]' COLUMNS ( \
         name VARCHAR(255) CHARACTER SET utf8mb4 PATH '$')) AS n";
/// The table is new, so the optimizer may not know yet how many rows it has.
const ANALYZE: &str = "ANALYZE TABLE leasehold_bench_floor_heartbeat";

/// One statement creates at most this many leases, so that it is not too long for the server.
const FILL_BATCH: usize = 1_000;

struct MySql(MySqlConnection);

pub(super) async fn open(url: &str, names: &[String]) -> Result<Extenders> {
    let mut first = MySqlConnection::connect(url).await?;
    for statement in [DROP, TABLE] {
        sqlx::query(statement).execute(&mut first).await?;
    }
    for names in names.chunks(FILL_BATCH) {
        let fill = sqlx::query(FILL).bind(LEASE.as_bytes()).bind(HOLDER).bind(TTL_MICROS);
        fill.bind(serde_json::to_vec(names)?).execute(&mut first).await?;
    }
    sqlx::query(ANALYZE).fetch_all(&mut first).await?;
    let mut connections: Extenders = vec![Box::new(MySql(first))];
    while connections.len() < CONNECTIONS {
        connections.push(Box::new(MySql(MySqlConnection::connect(url).await?)));
    }
    Ok(connections)
}

/// Returns the statement for that many names. It forces the primary key, since a scan of the table
/// would lock the rows of the other batch.
fn extend_text(names: usize) -> String {
    format!(
        "UPDATE leasehold_bench_floor_heartbeat FORCE INDEX (PRIMARY) SET expires_at = \
             TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(6)) + ? \
         WHERE lease = ? AND expires_at > \
             TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(6)) \
             AND name IN ({})",
        vec!["?"; names].join(", ")
    )
}

#[async_trait]
impl Extender for MySql {
    async fn extend(&mut self, names: &[String]) -> Result<u64> {
        let text = AssertSqlSafe(extend_text(names.len()));
        let mut extend = sqlx::query::<sqlx::MySql>(text).bind(TTL_MICROS).bind(LEASE.as_bytes());
        for name in names {
            extend = extend.bind(name.as_bytes());
        }
        Ok(extend.execute(&mut self.0).await?.rows_affected())
    }
}
