//! This module has the probes of etcd, which some cases need beyond the store.

use std::sync::Arc;

use async_trait::async_trait;
use etcd_client::DeleteOptions;
use futures_util::future::BoxFuture;
use leasehold::etcd::EtcdStore;
use leasehold_conformance::{
    Backend, DeleteRecord, DisposableServer, Link, OtherProcesses, Outages, OwnPool, OwnServer,
    Pooled, RoundTrips,
};
use leasehold_core::{LockName, LockStore, Namespace, Result};
use leasehold_test_servers::Proxy;
use leasehold_test_servers::catalog::ETCD;

use super::metrics::Counted;
use super::{Etcd, options, start_server};
use crate::broken::broken;
use crate::proxied_link::ProxiedLink;
use crate::server_container::ServerContainer;

#[async_trait]
impl OtherProcesses for Etcd {
    fn address(&self) -> String {
        self.url().to_owned()
    }

    async fn attach(&self, address: &str) -> Result<Arc<dyn Backend>> {
        let attached = Self::default();
        attached.url.get_or_init(|| address.to_owned());
        Ok(Arc::new(attached))
    }
}

#[async_trait]
impl DeleteRecord for Etcd {
    async fn delete_record(&self, namespace: &Namespace, name: &LockName) -> Result<()> {
        let mut client = self.client().await?;
        let families = ["lease", "holder", "ending", "granted", "disabled", "leave-reason"];
        for family in families {
            let key = format!("/{namespace}/{family}/{name}");
            client.delete(key, None).await.map_err(broken)?;
        }
        // The key of each entry continues with its lease id.
        let entries = Some(DeleteOptions::new().with_prefix());
        client.delete(format!("/{namespace}/entry/{name}\0"), entries).await.map_err(broken)?;
        Ok(())
    }
}

/// etcd counts for all clients together, so each namespace that is counted has its own server.
#[async_trait]
impl RoundTrips for Etcd {
    async fn open_counted(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let mut counted = self.counted.lock().await;
        if !counted.contains_key(namespace) {
            counted.insert(namespace.clone(), Counted::new(start_server().await?));
        }
        let url = counted.get(namespace).map(|one| ETCD.url_at(&one.server.address()));
        let url = url.unwrap_or_default();
        Ok(Arc::new(EtcdStore::connect(&url, &options(namespace)).await?))
    }

    async fn counted(&self, namespace: &Namespace) -> Result<u64> {
        match self.counted.lock().await.get_mut(namespace) {
            Some(counted) => counted.round_trips().await,
            None => Ok(0),
        }
    }

    /// A new etcd lease is granted before the keys are attached to it. A kept one is kept alive at
    /// the same time.
    fn acquire_budget(&self) -> u64 {
        2
    }

    /// A keep-alive takes no conditions, so the keys are read first.
    fn renew_budget(&self) -> u64 {
        2
    }
}

#[async_trait]
impl OwnPool for Etcd {
    async fn open_on_own_pool(&self, namespace: &Namespace) -> Result<Pooled> {
        let client = self.client().await?;
        let store = EtcdStore::from_client(client.clone(), &options(namespace)).await?;
        let use_pool = move || {
            let mut client = client.clone();
            let using = async move {
                client.get("x", None).await.map_err(broken)?;
                Ok(())
            };
            Box::pin(using) as BoxFuture<'static, Result<()>>
        };
        Ok(Pooled::new(Arc::new(store), Box::new(use_pool)))
    }
}

#[async_trait]
impl Outages for Etcd {
    async fn open_over_link(&self, namespace: &Namespace) -> Result<Arc<dyn Link>> {
        let proxy = Proxy::start(&Etcd::address(self)).await.map_err(broken)?;
        let url = ETCD.url_at(&proxy.address());
        let store = Arc::new(EtcdStore::connect(&url, &options(namespace)).await?);
        Ok(Arc::new(ProxiedLink { store, proxy }))
    }
}

#[async_trait]
impl OwnServer for Etcd {
    async fn start_server(&self) -> Result<Box<dyn DisposableServer>> {
        Ok(Box::new(ServerContainer::start(&ETCD, &[]).await?))
    }
}
