//! One update by a list of names.

use anyhow::Result;
use async_trait::async_trait;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::driver::{CONNECTIONS, Extender, Extenders, LEASE, TTL_MICROS};
use crate::floor::record::HOLDER;

const DROP: &str = "DROP TABLE IF EXISTS leasehold_bench_floor_heartbeat";
/// Pages are half empty, as in Leasehold's table, so that an update stays within its page.
const TABLE: &str = "CREATE TABLE leasehold_bench_floor_heartbeat \
     (name text PRIMARY KEY, token bigint NOT NULL, lease uuid, holder text, expires_at bigint) \
     WITH (fillfactor = 50)";
const FILL: &str = "INSERT INTO leasehold_bench_floor_heartbeat \
     SELECT n.name, 1, $2::uuid, $3, (date_part('epoch', now()) * 1000000)::bigint + $4 \
     FROM unnest($1::text[]) AS n (name)";
/// The table is new, so the planner may not know yet how many rows it has.
const ANALYZE: &str = "ANALYZE leasehold_bench_floor_heartbeat";
const EXTEND: &str = "UPDATE leasehold_bench_floor_heartbeat \
     SET expires_at = (date_part('epoch', now()) * 1000000)::bigint + $3 \
     WHERE name = ANY($1) AND lease = $2::uuid \
         AND expires_at > (date_part('epoch', now()) * 1000000)::bigint";

struct Postgres(PgConnection);

pub(super) async fn open(url: &str, names: &[String]) -> Result<Extenders> {
    let mut first = PgConnection::connect(url).await?;
    for statement in [DROP, TABLE] {
        sqlx::query(statement).execute(&mut first).await?;
    }
    let fill = sqlx::query(FILL).bind(names).bind(LEASE).bind(HOLDER).bind(TTL_MICROS);
    fill.execute(&mut first).await?;
    sqlx::query(ANALYZE).execute(&mut first).await?;
    let mut connections: Extenders = vec![Box::new(Postgres(first))];
    while connections.len() < CONNECTIONS {
        connections.push(Box::new(Postgres(PgConnection::connect(url).await?)));
    }
    Ok(connections)
}

#[async_trait]
impl Extender for Postgres {
    async fn extend(&mut self, names: &[String]) -> Result<u64> {
        let extend = sqlx::query(EXTEND).bind(names).bind(LEASE).bind(TTL_MICROS);
        Ok(extend.execute(&mut self.0).await?.rows_affected())
    }
}
