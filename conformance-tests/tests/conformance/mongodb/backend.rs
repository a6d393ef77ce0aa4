//! This module defines MongoDB as a backend of the suite.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ::mongodb::Database;
use ::mongodb::bson::doc;
use async_trait::async_trait;
use leasehold::OpenOptions;
use leasehold::mongodb::MongoStore;
use leasehold_conformance::{Backend, Probes};
use leasehold_core::{Error, LockStore, Namespace, Result};
use leasehold_test_servers::catalog::MONGODB;
use parking_lot::Mutex;

use super::endpoint::Endpoint;
use crate::broken::broken;

/// This is a server of one member, which has change streams.
#[derive(Default)]
pub(crate) struct MongoDb {
    pub(super) endpoint: Mutex<Option<Arc<Endpoint>>>,
    pub(super) commands: Mutex<HashMap<Namespace, Arc<AtomicU64>>>,
}

pub(super) fn options(namespace: &Namespace) -> OpenOptions {
    OpenOptions::default().with_namespace(namespace.clone())
}

impl MongoDb {
    pub(super) async fn endpoint(&self) -> Result<Arc<Endpoint>> {
        let endpoint = self.endpoint.lock().clone();
        endpoint.ok_or_else(|| Error::invalid("the suite starts a backend before it uses it"))
    }

    pub(super) async fn database(&self) -> Result<Database> {
        Ok(self.endpoint().await?.database().clone())
    }

    pub(super) fn commands(&self, namespace: &Namespace) -> Arc<AtomicU64> {
        let mut commands = self.commands.lock();
        commands.entry(namespace.clone()).or_default().clone()
    }
}

#[async_trait]
impl Backend for MongoDb {
    fn name(&self) -> &str {
        "mongodb"
    }

    async fn start(&self) -> Result<()> {
        if self.endpoint.lock().is_none() {
            let endpoint = Arc::new(Endpoint::shared().await?);
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
        Ok(Arc::new(MongoStore::connect(endpoint.url(), &options(namespace)).await?))
    }

    async fn clean(&self, namespace: &Namespace) -> Result<()> {
        for collection in ["locks", "instances"] {
            let drop = doc! { "drop": format!("{namespace}_{collection}") };
            match self.database().await?.run_command(drop).await {
                Ok(_) => {}
                // The collection does not exist.
                Err(cause) if matches!(&*cause.kind, mongodb::error::ErrorKind::Command(e) if e.code == 26) =>
                    {}
                Err(cause) => return Err(broken(cause)),
            }
        }
        Ok(())
    }

    fn probes(&self) -> Probes<'_> {
        let mut probes = Probes::default()
            .with_other_processes(self)
            .with_delete_record(self)
            .with_round_trips(self)
            .with_own_pool(self)
            .with_outages(self);
        probes.own_server = MONGODB.given_url().is_none().then_some(self as _);
        probes
    }
}
