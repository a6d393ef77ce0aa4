//! This module starts a server in a container that belongs to one case.

use std::sync::Arc;

use async_trait::async_trait;
use leasehold::{OpenOptions, url};
use leasehold_conformance::DisposableServer;
use leasehold_core::{LockStore, Namespace, Result};
use leasehold_test_servers::{Image, Server, catalog, until_ready};

/// This is a server in a container that nothing else uses.
pub(crate) struct ServerContainer {
    image: &'static Image,
    server: Server,
    url: String,
}

impl ServerContainer {
    /// Starts a server, with more arguments than the suite's own server has.
    pub(crate) async fn start(image: &'static Image, more: &[&str]) -> Result<Self> {
        let server = Server::start_with(image, more).await?;
        let url = image.url_at(&server.address());
        let this = Self { image, server, url };
        this.ready().await?;
        Ok(this)
    }

    async fn ready(&self) -> Result<()> {
        until_ready(|| async {
            catalog::prepare(self.image, &self.server).await;
            url::open(&self.url, &OpenOptions::default()).await
        })
        .await?;
        Ok(())
    }
}

#[async_trait]
impl DisposableServer for ServerContainer {
    async fn open(&self, namespace: &Namespace) -> Result<Arc<dyn LockStore>> {
        let options = OpenOptions::default().with_namespace(namespace.clone());
        url::open(&self.url, &options).await
    }

    async fn stop(&self) -> Result<()> {
        self.server.stop().await
    }

    async fn start_again(&self) -> Result<()> {
        self.server.start_again().await?;
        self.ready().await
    }

    async fn freeze(&self) -> Result<()> {
        self.server.freeze().await
    }

    async fn resume(&self) -> Result<()> {
        self.server.resume().await
    }
}
