//! This module defines the dialect of PostgreSQL for the suite.

use async_trait::async_trait;
use leasehold::OpenOptions;
use leasehold::postgres::PostgresStore;
use leasehold_core::{LockName, Namespace, Result};
use leasehold_test_servers::catalog::POSTGRES;
use leasehold_test_servers::{Image, Server, until_ready};
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgPool, PgPoolOptions};

use crate::broken::broken;
use crate::sql::Dialect;

/// These settings make the server faster, and let it count the statements of every case.
const SETTINGS: &[&str] = &["-c", "fsync=off", "-c", "pg_stat_statements.max=20000"];

/// Returns a pool of a few connections that are opened when they are needed.
pub(super) fn pool(url: &str) -> Result<PgPool> {
    PgPoolOptions::new().max_connections(4).connect_lazy(url).map_err(broken)
}

/// Starts a server for one case, and returns it with its URL.
pub(super) async fn start(more: &[&str]) -> Result<(Server, String)> {
    let server = Server::start_with(&POSTGRES, more).await?;
    let url = POSTGRES.url_at(&server.address());
    ready(&url).await?;
    Ok((server, url))
}

pub(super) async fn ready(url: &str) -> Result<()> {
    until_ready(|| async {
        let pool = PgPoolOptions::new().max_connections(1).connect(url).await?;
        sqlx::query("SELECT 1").execute(&pool).await
    })
    .await?;
    Ok(())
}

pub(crate) struct PostgresDialect;

#[async_trait]
impl Dialect for PostgresDialect {
    type Pool = PgPool;
    type Store = PostgresStore;

    const SCHEME: &'static str = "postgres";

    async fn start(_: &'static Image) -> Result<(Server, String)> {
        start(SETTINGS).await
    }

    async fn prepare(pool: &PgPool, in_container: bool) -> Result<()> {
        if in_container {
            // Without this setting, clients in debug builds take long to prove that they know a
            // password (since 16).
            let cheap = "SET scram_iterations = 1; ALTER ROLE postgres PASSWORD 'secret'";
            _ = Self::execute(pool, cheap.to_owned()).await;
        }
        let counting = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements";
        Self::execute(pool, counting.to_owned()).await
    }

    async fn version(pool: &PgPool) -> Result<String> {
        let query = sqlx::query_scalar("SELECT current_setting('server_version')");
        let version: String = query.fetch_one(pool).await.map_err(broken)?;
        Ok(format!("PostgreSQL {version}"))
    }

    fn pool(url: &str) -> Result<PgPool> {
        pool(url)
    }

    async fn application_pool(url: &str) -> Result<PgPool> {
        PgPoolOptions::new().max_connections(2).connect(url).await.map_err(broken)
    }

    async fn select_one(pool: &PgPool) -> Result<()> {
        let one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(pool).await.map_err(broken)?;
        assert_eq!(one, 1);
        Ok(())
    }

    async fn execute(pool: &PgPool, statements: String) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(pool).await.map_err(broken)?;
        Ok(())
    }

    async fn delete_row(pool: &PgPool, namespace: &Namespace, name: &LockName) -> Result<()> {
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {namespace}_locks WHERE name = $1")))
            .bind(name.as_str())
            .execute(pool)
            .await
            .map_err(broken)?;
        Ok(())
    }

    async fn create_user(pool: &PgPool, user: &Namespace) -> Result<()> {
        // This fails if there is no such user.
        _ = Self::execute(pool, format!("DROP OWNED BY {user}; DROP ROLE {user};")).await;
        Self::execute(pool, format!("CREATE ROLE {user} LOGIN PASSWORD 'secret'")).await
    }

    /// Counts the ends of transactions too.
    async fn count_statements(pool: &PgPool, user: &Namespace) -> Result<u64> {
        let count: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements \
             WHERE userid = (SELECT oid FROM pg_roles WHERE rolname = $1)",
        )
        .bind(user.as_str())
        .fetch_one(pool)
        .await
        .map_err(broken)?;
        Ok(count.unsigned_abs())
    }

    async fn connect(url: &str, options: &OpenOptions) -> Result<PostgresStore> {
        PostgresStore::connect(url, options).await
    }

    async fn on_pool(pool: PgPool, options: &OpenOptions) -> Result<PostgresStore> {
        PostgresStore::from_pool(pool, options).await
    }

    fn schema(namespace: &Namespace) -> Result<String> {
        PostgresStore::schema(namespace)
    }
}
