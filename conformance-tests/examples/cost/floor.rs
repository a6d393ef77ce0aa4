//! Measures two bare conditional writes through each driver, which is the minimum cost of acquire
//! and release.

use std::time::{Duration, Instant};

use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use mongodb::bson::doc;
use sqlx::{MySqlPool, PgPool, SqlitePool};

use crate::median::{Result, median};

/// Measures the median time of setting an unset value and unsetting it again, both conditionally.
pub(crate) async fn two_writes(url: &str, warm_up: usize, rounds: usize) -> Result<Duration> {
    let scheme = url.split(':').next().unwrap_or_default();
    let mut floor = Floor::open(scheme, url).await?;
    let mut times = Vec::new();
    for round in 0..warm_up + rounds {
        let start = Instant::now();
        floor.write(true).await?;
        floor.write(false).await?;
        if round >= warm_up {
            times.push(start.elapsed());
        }
    }
    Ok(median(times))
}

enum Floor {
    Sqlite(SqlitePool),
    Postgres(PgPool),
    MySql(MySqlPool),
    Redis(redis::aio::MultiplexedConnection, redis::Script),
    MongoDb(mongodb::Collection<mongodb::bson::Document>),
    Etcd(Box<etcd_client::KvClient>),
}

const TABLE: &str = "CREATE TABLE IF NOT EXISTS cost_floor (id INT PRIMARY KEY, held INT NOT NULL)";
const ROW: &str = "INSERT INTO cost_floor VALUES (1, 0)";
const WRITE: &str = "UPDATE cost_floor SET held = 1 - held WHERE id = 1 AND held = ";

impl Floor {
    async fn open(scheme: &str, url: &str) -> Result<Self> {
        Ok(match scheme {
            "sqlite" => {
                let pool = SqlitePool::connect(url).await?;
                sqlx::raw_sql(TABLE).execute(&pool).await?;
                _ = sqlx::raw_sql(ROW).execute(&pool).await;
                Self::Sqlite(pool)
            }
            "postgres" => {
                let pool = PgPool::connect(url).await?;
                sqlx::raw_sql(TABLE).execute(&pool).await?;
                _ = sqlx::raw_sql(ROW).execute(&pool).await;
                Self::Postgres(pool)
            }
            "mysql" => {
                let pool = MySqlPool::connect(url).await?;
                sqlx::raw_sql(TABLE).execute(&pool).await?;
                _ = sqlx::raw_sql(ROW).execute(&pool).await;
                Self::MySql(pool)
            }
            "redis" => {
                let client = redis::Client::open(url)?;
                let unset = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
                     return redis.call('DEL', KEYS[1]) else return 0 end";
                let script = redis::Script::new(unset);
                Self::Redis(client.get_multiplexed_async_connection().await?, script)
            }
            "mongodb" => {
                let client = mongodb::Client::with_uri_str(url).await?;
                let collection = client.database("cost").collection("floor");
                _ = collection.insert_one(doc! { "_id": 1, "held": false }).await;
                Self::MongoDb(collection)
            }
            _ => {
                let endpoint = url.trim_start_matches("etcd://").to_owned();
                let client = etcd_client::Client::connect([endpoint], None).await?;
                Self::Etcd(Box::new(client.kv_client()))
            }
        })
    }

    async fn write(&mut self, set: bool) -> Result<()> {
        let done = match self {
            Self::Sqlite(pool) => {
                let sql = sqlx::AssertSqlSafe(format!("{WRITE}{}", i32::from(!set)));
                sqlx::query(sql).execute(&*pool).await?.rows_affected()
            }
            Self::Postgres(pool) => {
                let sql = sqlx::AssertSqlSafe(format!("{WRITE}{}", i32::from(!set)));
                sqlx::query(sql).execute(&*pool).await?.rows_affected()
            }
            Self::MySql(pool) => {
                let sql = sqlx::AssertSqlSafe(format!("{WRITE}{}", i32::from(!set)));
                sqlx::query(sql).execute(&*pool).await?.rows_affected()
            }
            Self::Redis(connection, _) if set => {
                let mut set = redis::cmd("SET");
                set.arg("cost_floor").arg("me").arg("NX").arg("PX").arg(30_000);
                u64::from(set.query_async::<Option<String>>(connection).await?.is_some())
            }
            Self::Redis(connection, unset) => {
                unset.key("cost_floor").arg("me").invoke_async(connection).await?
            }
            Self::MongoDb(collection) => {
                let found = collection
                    .find_one_and_update(
                        doc! { "_id": 1, "held": !set },
                        doc! { "$set": { "held": set } },
                    )
                    .await?;
                u64::from(found.is_some())
            }
            Self::Etcd(kv) => {
                let revision = Compare::create_revision(
                    "cost_floor",
                    if set { CompareOp::Equal } else { CompareOp::Greater },
                    0,
                );
                let write = if set {
                    TxnOp::put("cost_floor", "me", None)
                } else {
                    TxnOp::delete("cost_floor", None)
                };
                let txn = Txn::new().when([revision]).and_then([write]);
                u64::from(kv.txn(txn).await?.succeeded())
            }
        };
        assert_eq!(done, 1, "the condition of the write does not hold");
        Ok(())
    }
}
