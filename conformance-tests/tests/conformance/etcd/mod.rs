//! This module defines etcd as a backend of the suite.

mod cluster;
mod connect_errors;
mod connections;
mod fence;
mod instances;
mod kept_leases;
mod members;
mod metrics;
mod probes;
mod queues;
mod records;
mod specific;
mod support;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use etcd_client::{Client, DeleteOptions};
use leasehold::OpenOptions;
use leasehold::etcd::EtcdStore;
use leasehold_conformance::{Backend, Probes};
use leasehold_core::{LockStore, Namespace, Result};
use leasehold_test_servers::catalog::ETCD;
use leasehold_test_servers::{Server, until_ready};
use tokio::sync::Mutex;

use crate::broken::broken;
use metrics::Counted;
pub(crate) use specific::CASES;

/// This backend has a server, and more servers whose round trips are counted.
#[derive(Default)]
pub(crate) struct Etcd {
    url: OnceLock<String>,
    server: Mutex<Option<Server>>,
    counted: Mutex<HashMap<Namespace, Counted>>,
}

fn options(namespace: &Namespace) -> OpenOptions {
    OpenOptions::default().with_namespace(namespace.clone())
}

/// Starts a server for one case, and waits until it responds.
async fn start_server() -> Result<Server> {
    let server = Server::start(&ETCD).await?;
    until_ready(|| client(server.address())).await?;
    Ok(server)
}

/// Returns a client as an application has one, once its server responds.
async fn client(address: String) -> std::result::Result<Client, etcd_client::Error> {
    let mut client = Client::connect([address], None).await?;
    client.get("x", None).await?;
    Ok(client)
}

impl Etcd {
    fn url(&self) -> &str {
        match self.url.get() {
            Some(url) => url,
            None => panic!("the suite starts a backend before it uses it"),
        }
    }

    /// Returns host and port of the server.
    fn address(&self) -> String {
        let rest = self.url().split_once("://").map_or("", |(_, rest)| rest);
        rest.split(['/', '?']).next().unwrap_or_default().to_owned()
    }

    async fn client(&self) -> Result<Client> {
        client(self.address()).await.map_err(broken)
    }
}

#[async_trait]
impl Backend for Etcd {
    fn name(&self) -> &str {
        "etcd"
    }

    async fn start(&self) -> Result<()> {
        let url = match ETCD.given_url() {
            Some(url) => url,
            None => {
                let server = start_server().await?;
                let url = ETCD.url_at(&server.address());
                *self.server.lock().await = Some(server);
                url
            }
        };
        self.url.get_or_init(|| url);
        Ok(())
    }

    async fn stop(&self) {
        *self.server.lock().await = None;
        self.counted.lock().await.clear();
    }

    async fn server(&self) -> Result<Option<String>> {
        let status = self.client().await?.status().await.map_err(broken)?;
        Ok(Some(format!("etcd {}", status.version())))
    }

    async fn open(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        Ok(Arc::new(EtcdStore::connect(self.url(), &options(namespace)).await?))
    }

    async fn clean(&self, namespace: &Namespace) -> Result<()> {
        self.counted.lock().await.remove(namespace);
        let all = DeleteOptions::new().with_prefix();
        let mut client = self.client().await?;
        client.delete(format!("/{namespace}/"), Some(all)).await.map_err(broken)?;
        Ok(())
    }

    fn probes(&self) -> Probes<'_> {
        let mut probes = Probes::default()
            .with_other_processes(self)
            .with_delete_record(self)
            .with_round_trips(self)
            .with_own_pool(self)
            .with_outages(self);
        probes.own_server = ETCD.given_url().is_none().then_some(self as _);
        probes
    }
}
