//! What the suite can do with Redis beyond its operations.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use leasehold::redis::RedisStore;
use leasehold_conformance::servers::{ProxiedLink, Proxy};
use leasehold_conformance::{
    Backend, DeleteRecord, Link, OtherProcesses, Outages, OwnPool, OwnServer, Pooled, RoundTrips,
    Victim,
};
use leasehold_core::{LockName, LockStore, Namespace, Result};
use tokio::sync::Mutex;

use super::meter::Meter;
use super::place::Place;
use super::{Redis, broken, options};
use crate::victim::Container;

#[async_trait]
impl OtherProcesses for Redis {
    fn address(&self) -> String {
        let place = self.place.try_lock().ok().and_then(|place| place.clone());
        place.map(|place| place.url().to_owned()).unwrap_or_default()
    }

    async fn attach(&self, address: &str) -> Result<Arc<dyn Backend>> {
        let place = Some(Arc::new(Place::at(address.to_owned())?)).into();
        Ok(Arc::new(Self { image: self.image, place, meters: Mutex::default() }))
    }
}

#[async_trait]
impl DeleteRecord for Redis {
    async fn delete_record(&self, namespace: &Namespace, name: &LockName) -> Result<()> {
        let key = format!("{namespace}:lock:{name}");
        self.place().await?.run(&["DEL", &key]).await.map(drop)
    }
}

/// On the wire, by a [`Meter`] that the client's connections go through: how often it waited for a
/// reply before it sent more.
#[async_trait]
impl RoundTrips for Redis {
    async fn open_counted(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let place = self.place().await?;
        let meter = Meter::start(place.address()).await.map_err(broken)?;
        let url = place.url_by(&meter.address);
        let store = RedisStore::connect(&url, &options(namespace)).await?;
        self.meters.lock().await.insert(namespace.clone(), meter);
        Ok(Arc::new(store))
    }

    async fn counted(&self, namespace: &Namespace) -> Result<u64> {
        Ok(self.meters.lock().await.get(namespace).map_or(0, Meter::count))
    }

    fn acquire_budget(&self) -> u64 {
        1
    }
}

#[async_trait]
impl OwnPool for Redis {
    async fn open_on_own_pool(&self, namespace: &Namespace) -> Result<Pooled> {
        let place = self.place().await?;
        let client = place.client().clone();
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
        Ok(Pooled { store: Arc::new(store), use_pool: Box::new(use_pool) })
    }
}

#[async_trait]
impl Outages for Redis {
    async fn open_over_link(&self, namespace: &Namespace) -> Result<Arc<dyn Link>> {
        let place = self.place().await?;
        let proxy = Proxy::start(place.address()).await.map_err(broken)?;
        let url = place.url_by(&proxy.address());
        let store = Arc::new(RedisStore::connect(&url, &options(namespace)).await?);
        Ok(Arc::new(ProxiedLink { store, proxy }))
    }
}

#[async_trait]
impl OwnServer for Redis {
    async fn start_server(&self) -> Result<Box<dyn Victim>> {
        Ok(Box::new(Container::start(self.image, &[]).await?))
    }
}
