//! The ledger is a table in an SQL database.

use std::time::Duration;

use leasehold_fence::sqlx::FenceTable;
use leasehold_fence::{Namespace, Result, Schema, Term};
use sqlx::pool::PoolOptions;
use sqlx::{
    AssertSqlSafe, Connection, MySqlConnection, PgConnection, Pool, SqliteConnection, Transaction,
};
use tokio::time::sleep;

use super::{Data, Entry, failed};

/// Defines the ledger for a driver, by the function that begins the transaction of an entry and by
/// its slow statement.
macro_rules! ledger {
    ($name:ident, $driver:ty, $begin:ident, $slow:literal) => {
        pub(crate) struct $name {
            pool: Pool<$driver>,
            table: FenceTable<$driver>,
            namespace: Namespace,
        }

        impl Data for $name {
            async fn open(url: &str, namespace: &Namespace) -> Result<Self, String> {
                let options = PoolOptions::<$driver>::new().max_connections(2);
                let pool = options.connect(url).await.map_err(|error| error.to_string())?;
                let create = format!(
                    "CREATE TABLE IF NOT EXISTS {namespace}_ledger \
                     (term BIGINT NOT NULL, sequence BIGINT NOT NULL)"
                );
                let create = sqlx::raw_sql(AssertSqlSafe(create)).execute(&pool).await;
                create.map_err(|error| error.to_string())?;
                let table = FenceTable::open(&pool, namespace, Schema::Create).await;
                let table = table.map_err(|error| error.to_string())?;
                Ok(Self { pool, table, namespace: namespace.clone() })
            }

            async fn raise(&mut self, term: &Term, limit: Duration) -> Result<()> {
                self.table.fence(term).raise(&self.pool, limit).await
            }

            async fn write(&mut self, term: &Term, entry: &Entry) -> Result<()> {
                let mut connection = self.pool.acquire().await.map_err(failed)?;
                let begun = $begin(&mut connection, entry.sequence).await;
                let mut transaction = begun.map_err(failed)?;
                self.table.fence(term).check(&mut transaction).await?;
                sleep(entry.pause).await;
                if entry.slow {
                    let slow = sqlx::raw_sql($slow).execute(&mut *transaction).await;
                    slow.map_err(failed)?;
                }
                let insert = format!(
                    "INSERT INTO {}_ledger VALUES ({}, {})",
                    self.namespace,
                    term.token(),
                    entry.sequence
                );
                let insert = sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut *transaction).await;
                insert.map_err(failed)?;
                transaction.commit().await.map_err(failed)
            }

            async fn entries(&mut self, term: u64) -> u64 {
                let count =
                    format!("SELECT COUNT(*) FROM {}_ledger WHERE term = {term}", self.namespace);
                let count = sqlx::query_scalar::<$driver, i64>(AssertSqlSafe(count));
                count.fetch_one(&self.pool).await.unwrap().try_into().unwrap()
            }

            async fn remove(self, _: u64) {
                for table in ["ledger", "fence", "fence_intent"] {
                    let drop = format!("DROP TABLE IF EXISTS {}_{table}", self.namespace);
                    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&self.pool).await.unwrap();
                }
            }
        }
    };
}

ledger!(Postgres, sqlx::Postgres, begin_on_postgres, "SELECT pg_sleep(0.1)");
ledger!(MySql, sqlx::MySql, begin_on_mysql, "DO SLEEP(0.1)");
ledger!(
    Sqlite,
    sqlx::Sqlite,
    begin_on_sqlite,
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) \
     SELECT COUNT(*) FROM n"
);

/// Entries use the isolation levels in turn.
async fn begin_on_postgres(
    connection: &mut PgConnection,
    sequence: i64,
) -> sqlx::Result<Transaction<'_, sqlx::Postgres>> {
    let begin = match sequence % 3 {
        0 => "BEGIN ISOLATION LEVEL READ COMMITTED",
        1 => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        _ => "BEGIN ISOLATION LEVEL SERIALIZABLE",
    };
    connection.begin_with(begin).await
}

/// Entries use the isolation levels in turn.
async fn begin_on_mysql(
    connection: &mut MySqlConnection,
    sequence: i64,
) -> sqlx::Result<Transaction<'_, sqlx::MySql>> {
    // This sets the level of the next transaction only.
    let level = match sequence % 3 {
        0 => "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        1 => "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        _ => "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    };
    sqlx::raw_sql(level).execute(&mut *connection).await?;
    connection.begin().await
}

async fn begin_on_sqlite(
    connection: &mut SqliteConnection,
    _: i64,
) -> sqlx::Result<Transaction<'_, sqlx::Sqlite>> {
    connection.begin_with("BEGIN IMMEDIATE").await
}
