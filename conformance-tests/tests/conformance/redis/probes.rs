//! This module has the probes of Redis, which some cases need beyond the store.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use leasehold::redis::RedisStore;
use leasehold_conformance::{
    Backend, DeleteRecord, DisposableServer, Link, OtherProcesses, Outages, OwnPool, OwnServer,
    Pooled, RoundTrips,
};
use leasehold_core::{LockName, LockStore, Namespace, Result};
use leasehold_test_servers::Proxy;
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use super::counting_proxy::CountingProxy;
use super::endpoint::Endpoint;
use super::{Redis, options};
use crate::broken::broken;
use crate::proxied_link::ProxiedLink;
use crate::server_container::ServerContainer;

#[async_trait]
impl OtherProcesses for Redis {
    fn address(&self) -> String {
        let endpoint = self.endpoint.lock().clone();
        endpoint.map(|endpoint| endpoint.url().to_owned()).unwrap_or_default()
    }

    async fn attach(&self, address: &str) -> Result<Arc<dyn Backend>> {
        let endpoint = Mutex::new(Some(Arc::new(Endpoint::at(address.to_owned())?)));
        Ok(Arc::new(Self { image: self.image, endpoint, counting_proxies: AsyncMutex::default() }))
    }
}

#[async_trait]
impl DeleteRecord for Redis {
    async fn delete_record(&self, namespace: &Namespace, name: &LockName) -> Result<()> {
        let key = format!("{namespace}:lock:{name}");
        self.endpoint().await?.run(&["DEL", &key]).await.map(drop)
    }
}

/// Counts round trips with a [`CountingProxy`] on the client's connections, which counts how often
/// the client waited for a reply before it sent more.
#[async_trait]
impl RoundTrips for Redis {
    async fn open_counted(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let endpoint = self.endpoint().await?;
        let counting_proxy = CountingProxy::start(endpoint.address()).await.map_err(broken)?;
        let url = endpoint.url_by(&counting_proxy.address);
        let store = RedisStore::connect(&url, &options(namespace)).await?;
        self.counting_proxies.lock().await.insert(namespace.clone(), counting_proxy);
        Ok(Arc::new(store))
    }

    async fn counted(&self, namespace: &Namespace) -> Result<u64> {
        Ok(self.counting_proxies.lock().await.get(namespace).map_or(0, CountingProxy::count))
    }

    fn acquire_budget(&self) -> u64 {
        1
    }
}

#[async_trait]
impl OwnPool for Redis {
    async fn open_on_own_pool(&self, namespace: &Namespace) -> Result<Pooled> {
        let endpoint = self.endpoint().await?;
        let client = endpoint.client().clone();
        let store = RedisStore::from_client(client.clone(), &options(namespace)).await?;
        let connection = client.get_multiplexed_async_connection().await.map_err(broken)?;
        let use_pool = move || {
            let mut connection = connection.clone();
            let using = async move {
                let mut get = redis::cmd("GET");
                get.arg("of_the_application");
                get.query_async::<redis::Value>(&mut connection).await.map_err(broken)?;
                Ok(())
            };
            Box::pin(using) as BoxFuture<'static, Result<()>>
        };
        Ok(Pooled::new(Arc::new(store), Box::new(use_pool)))
    }
}

#[async_trait]
impl Outages for Redis {
    async fn open_over_link(&self, namespace: &Namespace) -> Result<Arc<dyn Link>> {
        let endpoint = self.endpoint().await?;
        let proxy = Proxy::start(endpoint.address()).await.map_err(broken)?;
        let url = endpoint.url_by(&proxy.address());
        let store = Arc::new(RedisStore::connect(&url, &options(namespace)).await?);
        Ok(Arc::new(ProxiedLink { store, proxy }))
    }
}

#[async_trait]
impl OwnServer for Redis {
    async fn start_server(&self) -> Result<Box<dyn DisposableServer>> {
        Ok(Box::new(ServerContainer::start(self.image, &[]).await?))
    }
}
