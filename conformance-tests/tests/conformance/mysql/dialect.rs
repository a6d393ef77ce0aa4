//! This module defines the dialect of MySQL and MariaDB for the suite.

use std::time::Duration;

use async_trait::async_trait;
use leasehold::OpenOptions;
use leasehold::mysql::MySqlStore;
use leasehold_core::{LockName, Namespace, Result};
use leasehold_test_servers::{Image, Server, until_ready};
use sqlx::AssertSqlSafe;
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};

use crate::broken::broken;
use crate::sql::Dialect;

/// Returns a pool of a few connections that are opened when they are needed.
pub(super) fn pool(url: &str) -> Result<MySqlPool> {
    MySqlPoolOptions::new().max_connections(4).connect_lazy(url).map_err(broken)
}

/// Starts a server for one case, and returns it with its URL.
pub(super) async fn start(image: &Image, more: &[&str]) -> Result<(Server, String)> {
    let server = Server::start_with(image, more).await?;
    let url = image.url_at(&server.address());
    ready(&url).await?;
    Ok((server, url))
}

pub(super) async fn ready(url: &str) -> Result<()> {
    until_ready(|| async {
        let pool = MySqlPoolOptions::new().max_connections(1).connect(url).await?;
        sqlx::query("SELECT 1").execute(&pool).await
    })
    .await?;
    Ok(())
}

pub(crate) struct MySqlDialect;

#[async_trait]
impl Dialect for MySqlDialect {
    type Pool = MySqlPool;
    type Store = MySqlStore;

    const SCHEME: &'static str = "mysql";

    async fn start(image: &'static Image) -> Result<(Server, String)> {
        start(image, &[]).await
    }

    async fn prepare(_: &MySqlPool, _: bool) -> Result<()> {
        Ok(())
    }

    async fn version(pool: &MySqlPool) -> Result<String> {
        let query = sqlx::query_scalar("SELECT VERSION()");
        let version: String = query.fetch_one(pool).await.map_err(broken)?;
        let name = if version.contains("MariaDB") { "MariaDB" } else { "MySQL" };
        Ok(format!("{name} {version}"))
    }

    fn pool(url: &str) -> Result<MySqlPool> {
        pool(url)
    }

    async fn application_pool(url: &str) -> Result<MySqlPool> {
        MySqlPoolOptions::new().max_connections(2).connect(url).await.map_err(broken)
    }

    async fn select_one(pool: &MySqlPool) -> Result<()> {
        let one: i64 = sqlx::query_scalar("SELECT 1").fetch_one(pool).await.map_err(broken)?;
        assert_eq!(one, 1);
        Ok(())
    }

    async fn execute(pool: &MySqlPool, statements: String) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(pool).await.map_err(broken)?;
        Ok(())
    }

    async fn delete_row(pool: &MySqlPool, namespace: &Namespace, name: &LockName) -> Result<()> {
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {namespace}_locks WHERE name = ?")))
            .bind(name.as_str().as_bytes())
            .execute(pool)
            .await
            .map_err(broken)?;
        Ok(())
    }

    async fn create_user(pool: &MySqlPool, user: &Namespace) -> Result<()> {
        let statements =
            format!("DROP USER IF EXISTS {user}; CREATE USER {user} IDENTIFIED BY 'secret'");
        Self::execute(pool, statements).await
    }

    /// Does not count preparing, which is done once per connection, nor the pings that sqlx sends
    /// after a connection was returned to the pool, when no call waits any longer. No call waits
    /// for `DO` either, by which the store releases its user-level lock on another connection.
    async fn count_statements(pool: &MySqlPool, user: &Namespace) -> Result<u64> {
        // A statement is counted when it ends. That is after its answer was sent, and on a busy
        // machine some time later.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let count: i64 = sqlx::query_scalar(
            "SELECT CAST(COALESCE(SUM(count_star), 0) AS SIGNED) \
             FROM performance_schema.events_statements_summary_by_user_by_event_name \
             WHERE user = ? AND event_name NOT IN \
                 ('statement/com/Prepare', 'statement/com/Close stmt', 'statement/com/Quit', \
                 'statement/com/Ping', 'statement/sql/do')",
        )
        .bind(user.as_str())
        .fetch_one(pool)
        .await
        .map_err(broken)?;
        Ok(count.unsigned_abs())
    }

    async fn connect(url: &str, options: &OpenOptions) -> Result<MySqlStore> {
        MySqlStore::connect(url, options).await
    }

    async fn on_pool(pool: MySqlPool, options: &OpenOptions) -> Result<MySqlStore> {
        MySqlStore::from_pool(pool, options).await
    }

    fn schema(namespace: &Namespace) -> Result<String> {
        MySqlStore::schema(namespace)
    }
}
