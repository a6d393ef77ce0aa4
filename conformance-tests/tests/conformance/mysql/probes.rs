//! This module has the probes of MySQL and MariaDB, which some cases need beyond the store.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use leasehold::Schema as OnMissing;
use leasehold::mysql::MySqlStore;
use leasehold_conformance::servers::{ProxiedLink, Proxy};
use leasehold_conformance::{
    Backend, DeleteRecord, Link, OtherProcesses, Outages, OwnPool, OwnServer, Pooled, RoundTrips,
    Schema, Victim,
};
use leasehold_core::{LockName, LockStore, Namespace, Result};
use sqlx::AssertSqlSafe;
use sqlx::mysql::MySqlPoolOptions;

use super::{MySql, options};
use crate::broken::broken;
use crate::disposable_server::DisposableServer;

#[async_trait]
impl OtherProcesses for MySql {
    fn address(&self) -> String {
        self.url().to_owned()
    }

    async fn attach(&self, address: &str) -> Result<Arc<dyn Backend>> {
        let attached = Self::of(self.image);
        attached.know(address.to_owned())?;
        Ok(Arc::new(attached))
    }
}

#[async_trait]
impl DeleteRecord for MySql {
    async fn delete_record(&self, namespace: &Namespace, name: &LockName) -> Result<()> {
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {namespace}_locks WHERE name = ?")))
            .bind(name.as_str().as_bytes())
            .execute(self.admin())
            .await
            .map_err(broken)?;
        Ok(())
    }
}

impl MySql {
    /// Creates a user that may use the existing table of that namespace, and nothing else.
    pub(super) async fn user_of_table(&self, namespace: &Namespace) -> Result<String> {
        self.execute(format!(
            "DROP USER IF EXISTS {namespace}; CREATE USER {namespace} IDENTIFIED BY 'secret'; \
             GRANT SELECT, INSERT, UPDATE ON {namespace}_locks TO {namespace}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON {namespace}_instances TO {namespace}"
        ))
        .await?;
        Ok(self.url_of(namespace.as_str()))
    }
}

/// A separate user sends only the statements that are counted. Statements are prepared once per
/// connection, and sqlx pings a connection after it was returned to the pool, when no call waits
/// any longer. No call waits for the store's user-level lock either, which is released by `DO` on
/// another connection afterwards.
#[async_trait]
impl RoundTrips for MySql {
    async fn open_counted(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        self.open(namespace).await?;
        let url = self.user_of_table(namespace).await?;
        let store = MySqlStore::connect(&url, &options(namespace, OnMissing::Require)).await?;
        Ok(Arc::new(store))
    }

    async fn counted(&self, namespace: &Namespace) -> Result<u64> {
        // A statement is counted when it ends. That is after its answer was sent, and on a busy
        // machine some time later.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let count: i64 = sqlx::query_scalar(
            "SELECT CAST(COALESCE(SUM(count_star), 0) AS SIGNED) \
             FROM performance_schema.events_statements_summary_by_user_by_event_name \
             WHERE user = ? AND event_name NOT IN \
                 ('statement/com/Prepare', 'statement/com/Close stmt', 'statement/com/Quit', \
                 'statement/com/Ping', 'statement/sql/do')",
        )
        .bind(namespace.as_str())
        .fetch_one(self.admin())
        .await
        .map_err(broken)?;
        Ok(count.unsigned_abs())
    }

    fn acquire_budget(&self) -> u64 {
        1
    }
}

#[async_trait]
impl Schema for MySql {
    fn printed(&self, namespace: &Namespace) -> Result<String> {
        MySqlStore::schema(namespace)
    }

    async fn apply(&self, _: &Namespace, printed: &str) -> Result<()> {
        self.execute(printed).await
    }

    async fn open_without_rights(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let url = self.user_of_table(namespace).await?;
        let store = MySqlStore::connect(&url, &options(namespace, OnMissing::Create)).await?;
        Ok(Arc::new(store))
    }
}

#[async_trait]
impl OwnPool for MySql {
    async fn open_on_own_pool(&self, namespace: &Namespace) -> Result<Pooled> {
        let pool = MySqlPoolOptions::new().max_connections(2).connect(self.url());
        let pool = pool.await.map_err(broken)?;
        let options = options(namespace, OnMissing::Create);
        let store = MySqlStore::from_pool(pool.clone(), &options).await?;
        let use_pool = move || {
            let pool = pool.clone();
            let using = async move {
                let one: i64 =
                    sqlx::query_scalar("SELECT 1").fetch_one(&pool).await.map_err(broken)?;
                assert_eq!(one, 1);
                Ok(())
            };
            Box::pin(using) as BoxFuture<'static, Result<()>>
        };
        Ok(Pooled { store: Arc::new(store), use_pool: Box::new(use_pool) })
    }
}

#[async_trait]
impl Outages for MySql {
    async fn open_over_link(&self, namespace: &Namespace) -> Result<Arc<dyn Link>> {
        Ok(Arc::new(self.proxied(namespace).await?))
    }
}

impl MySql {
    /// Opens a store whose connections go through a proxy.
    pub(super) async fn proxied(&self, namespace: &Namespace) -> Result<ProxiedLink> {
        let address = self.address();
        let proxy = Proxy::start(&address).await.map_err(broken)?;
        let url = self.url().replace(&address, &proxy.address());
        let options = options(namespace, OnMissing::Create);
        let store = Arc::new(MySqlStore::connect(&url, &options).await?);
        Ok(ProxiedLink { store, proxy })
    }
}

#[async_trait]
impl OwnServer for MySql {
    async fn start_server(&self) -> Result<Box<dyn Victim>> {
        Ok(Box::new(DisposableServer::start(self.image, &[]).await?))
    }
}
