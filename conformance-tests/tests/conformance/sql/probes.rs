//! This module has the probes of SQL servers, which some cases need beyond the store.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use leasehold::Schema as OnMissing;
use leasehold_conformance::{
    Backend, DeleteRecord, DisposableServer, Link, OtherProcesses, Outages, OwnPool, OwnServer,
    Pooled, RoundTrips, Schema,
};
use leasehold_core::{LockName, LockStore, Namespace, Result};

use super::{Dialect, SqlBackend, options};
use crate::server_container::ServerContainer;

#[async_trait]
impl<D: Dialect> OtherProcesses for SqlBackend<D> {
    fn address(&self) -> String {
        self.url().to_owned()
    }

    async fn attach(&self, address: &str) -> Result<Arc<dyn Backend>> {
        let attached = Self::of(self.image);
        attached.set_url(address.to_owned())?;
        Ok(Arc::new(attached))
    }
}

#[async_trait]
impl<D: Dialect> DeleteRecord for SqlBackend<D> {
    async fn delete_record(&self, namespace: &Namespace, name: &LockName) -> Result<()> {
        D::delete_row(self.admin(), namespace, name).await
    }
}

/// A separate user sends only the statements that are counted.
#[async_trait]
impl<D: Dialect> RoundTrips for SqlBackend<D> {
    async fn open_counted(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        self.open(namespace).await?;
        let url = self.user_of_table(namespace).await?;
        let options = options(namespace, OnMissing::Require);
        Ok(Arc::new(D::connect(&url, &options).await?))
    }

    async fn counted(&self, namespace: &Namespace) -> Result<u64> {
        D::count_statements(self.admin(), namespace).await
    }

    fn acquire_budget(&self) -> u64 {
        1
    }
}

#[async_trait]
impl<D: Dialect> Schema for SqlBackend<D> {
    fn printed(&self, namespace: &Namespace) -> Result<String> {
        D::schema(namespace)
    }

    async fn apply(&self, _: &Namespace, printed: &str) -> Result<()> {
        self.execute(printed).await
    }

    async fn open_without_rights(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let url = self.user_of_table(namespace).await?;
        let options = options(namespace, OnMissing::Create);
        Ok(Arc::new(D::connect(&url, &options).await?))
    }
}

#[async_trait]
impl<D: Dialect> OwnPool for SqlBackend<D> {
    async fn open_on_own_pool(&self, namespace: &Namespace) -> Result<Pooled> {
        let pool = D::application_pool(self.url()).await?;
        let options = options(namespace, OnMissing::Create);
        let store = D::on_pool(pool.clone(), &options).await?;
        let use_pool = move || {
            let pool = pool.clone();
            let using = async move { D::select_one(&pool).await };
            Box::pin(using) as BoxFuture<'static, Result<()>>
        };
        Ok(Pooled::new(Arc::new(store), Box::new(use_pool)))
    }
}

#[async_trait]
impl<D: Dialect> Outages for SqlBackend<D> {
    async fn open_over_link(&self, namespace: &Namespace) -> Result<Arc<dyn Link>> {
        Ok(Arc::new(self.proxied(namespace).await?))
    }
}

#[async_trait]
impl<D: Dialect> OwnServer for SqlBackend<D> {
    async fn start_server(&self) -> Result<Box<dyn DisposableServer>> {
        Ok(Box::new(ServerContainer::start(self.image, &[]).await?))
    }
}
