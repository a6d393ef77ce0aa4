//! This module defines Redis and Valkey as backends of the suite, in containers or given by
//! `LEASEHOLD_TEST_REDIS_URL` and `LEASEHOLD_TEST_VALKEY_URL`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "cases fail by panicking")]

mod cluster;
mod cluster_nodes;
mod cluster_outages;
mod commands;
mod connect_errors;
mod counting_proxy;
mod degraded_server;
mod endpoint;
mod fence;
mod keys;
mod nodes;
mod probes;
mod queues;
mod replicas;
mod sentinel;
mod specific;
mod support;
mod tls;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use leasehold::OpenOptions;
use leasehold::redis::RedisStore;
use leasehold_conformance::{Backend, CaseResult, Failure, Probes};
use leasehold_core::{Error, LockStore, Namespace, Result};
use leasehold_test_servers::Image;
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use crate::broken::broken;
use counting_proxy::CountingProxy;
use endpoint::Endpoint;

pub(crate) use specific::CASES;

/// This is one of the two products, which are tested in the same way.
pub(crate) struct Redis {
    image: &'static Image,
    endpoint: Mutex<Option<Arc<Endpoint>>>,
    /// This is the proxy that counts the round trips of a namespace.
    counting_proxies: AsyncMutex<HashMap<Namespace, CountingProxy>>,
}

fn options(namespace: &Namespace) -> OpenOptions {
    OpenOptions::default().with_namespace(namespace.clone())
}

impl Redis {
    /// Creates the backend of that image.
    pub(crate) fn of(image: &'static Image) -> Self {
        Self { image, endpoint: Mutex::default(), counting_proxies: AsyncMutex::default() }
    }

    /// Ignores the case if it cannot start its own containers.
    fn needs_containers(&self) -> CaseResult {
        match self.image.given_url() {
            Some(_) => Err(Failure::ignored("a server given by URL is not started or stopped")),
            None => Ok(()),
        }
    }

    async fn endpoint(&self) -> Result<Arc<Endpoint>> {
        let endpoint = self.endpoint.lock().clone();
        endpoint.ok_or_else(|| Error::invalid("the suite starts a backend before it uses it"))
    }
}

#[async_trait]
impl Backend for Redis {
    fn name(&self) -> &str {
        self.image.name
    }

    async fn start(&self) -> Result<()> {
        if self.endpoint.lock().is_none() {
            let endpoint = Arc::new(Endpoint::shared(self.image).await?);
            *self.endpoint.lock() = Some(endpoint);
        }
        Ok(())
    }

    async fn stop(&self) {
        let endpoint = self.endpoint.lock().take();
        drop(endpoint);
    }

    async fn server(&self) -> Result<Option<String>> {
        let endpoint = self.endpoint.lock().clone();
        let Some(endpoint) = endpoint else { return Ok(None) };
        endpoint.version().await.map(Some)
    }

    async fn open(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let endpoint = self.endpoint().await?;
        Ok(Arc::new(RedisStore::connect(endpoint.url(), &options(namespace)).await?))
    }

    async fn clean(&self, namespace: &Namespace) -> Result<()> {
        let endpoint = self.endpoint().await?;
        let mut connection = endpoint.connection().await?;
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(format!("{namespace}:*")).arg("COUNT").arg(1000);
            let (next, keys): (_, Vec<Vec<u8>>) =
                scan.query_async(&mut connection).await.map_err(broken)?;
            if !keys.is_empty() {
                let mut delete = redis::cmd("DEL");
                delete.arg(keys).query_async::<i64>(&mut connection).await.map_err(broken)?;
            }
            cursor = next;
            if cursor == "0" {
                return Ok(());
            }
        }
    }

    fn probes(&self) -> Probes<'_> {
        let mut probes = Probes::default()
            .with_other_processes(self)
            .with_delete_record(self)
            .with_round_trips(self)
            .with_own_pool(self)
            .with_outages(self);
        probes.own_server = self.image.given_url().is_none().then_some(self as _);
        probes
    }
}
