//! This module has the probes of PostgreSQL, which some cases need beyond the store.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use leasehold::Schema as OnMissing;
use leasehold::postgres::PostgresStore;
use leasehold_conformance::servers::catalog::POSTGRES;
use leasehold_conformance::servers::{ProxiedLink, Proxy};
use leasehold_conformance::{
    Backend, DeleteRecord, Link, OtherProcesses, Outages, OwnPool, OwnServer, Pooled, RoundTrips,
    Schema, Victim,
};
use leasehold_core::{LockName, LockStore, Namespace, Result};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPoolOptions;

use super::{Postgres, options};
use crate::broken::broken;
use crate::disposable_server::DisposableServer;

#[async_trait]
impl OtherProcesses for Postgres {
    fn address(&self) -> String {
        self.url().to_owned()
    }

    async fn attach(&self, address: &str) -> Result<Arc<dyn Backend>> {
        let attached = Self::default();
        attached.know(address.to_owned())?;
        Ok(Arc::new(attached))
    }
}

#[async_trait]
impl DeleteRecord for Postgres {
    async fn delete_record(&self, namespace: &Namespace, name: &LockName) -> Result<()> {
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {namespace}_locks WHERE name = $1")))
            .bind(name.as_str())
            .execute(self.admin())
            .await
            .map_err(broken)?;
        Ok(())
    }
}

impl Postgres {
    /// Creates a user that may use the existing table of that namespace, and nothing else.
    pub(super) async fn user_of_table(&self, namespace: &Namespace) -> Result<String> {
        self.execute(format!("DROP OWNED BY {namespace}; DROP ROLE {namespace};")).await.ok();
        self.execute(format!(
            "CREATE ROLE {namespace} LOGIN PASSWORD 'secret'; \
             GRANT SELECT, INSERT, UPDATE ON {namespace}_locks TO {namespace}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON {namespace}_instances TO {namespace}"
        ))
        .await?;
        Ok(self.url_of(namespace.as_str()))
    }
}

/// A separate user sends only the statements that are counted, including the ends of transactions.
#[async_trait]
impl RoundTrips for Postgres {
    async fn open_counted(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        self.open(namespace).await?;
        let url = self.user_of_table(namespace).await?;
        let store = PostgresStore::connect(&url, &options(namespace, OnMissing::Require)).await?;
        Ok(Arc::new(store))
    }

    async fn counted(&self, namespace: &Namespace) -> Result<u64> {
        let count: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements \
             WHERE userid = (SELECT oid FROM pg_roles WHERE rolname = $1)",
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
impl Schema for Postgres {
    fn printed(&self, namespace: &Namespace) -> Result<String> {
        PostgresStore::schema(namespace)
    }

    async fn apply(&self, _: &Namespace, printed: &str) -> Result<()> {
        self.execute(printed).await
    }

    async fn open_without_rights(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let url = self.user_of_table(namespace).await?;
        let store = PostgresStore::connect(&url, &options(namespace, OnMissing::Create)).await?;
        Ok(Arc::new(store))
    }
}

#[async_trait]
impl OwnPool for Postgres {
    async fn open_on_own_pool(&self, namespace: &Namespace) -> Result<Pooled> {
        let pool = PgPoolOptions::new().max_connections(2).connect(self.url());
        let pool = pool.await.map_err(broken)?;
        let options = options(namespace, OnMissing::Create);
        let store = PostgresStore::from_pool(pool.clone(), &options).await?;
        let use_pool = move || {
            let pool = pool.clone();
            let using = async move {
                let one: i32 =
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
impl Outages for Postgres {
    async fn open_over_link(&self, namespace: &Namespace) -> Result<Arc<dyn Link>> {
        Ok(Arc::new(self.proxied(namespace).await?))
    }
}

impl Postgres {
    /// Opens a store whose connections go through a proxy.
    pub(super) async fn proxied(&self, namespace: &Namespace) -> Result<ProxiedLink> {
        let address = self.address();
        let proxy = Proxy::start(&address).await.map_err(broken)?;
        let url = self.url().replace(&address, &proxy.address());
        let options = options(namespace, OnMissing::Create);
        let store = Arc::new(PostgresStore::connect(&url, &options).await?);
        Ok(ProxiedLink { store, proxy })
    }
}

#[async_trait]
impl OwnServer for Postgres {
    async fn start_server(&self) -> Result<Box<dyn Victim>> {
        Ok(Box::new(DisposableServer::start(&POSTGRES, &[]).await?))
    }
}
