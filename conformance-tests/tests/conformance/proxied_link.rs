//! This link between a client and a server goes through a proxy.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_conformance::Link;
use leasehold_core::LockStore;
use leasehold_test_servers::{LinkBehaviour, Proxy};

/// The connections of this store go through a proxy.
#[derive(Debug)]
pub(crate) struct ProxiedLink {
    /// This is the store of the client.
    pub(crate) store: Arc<dyn LockStore>,
    /// The connections of the store go through this proxy.
    pub(crate) proxy: Proxy,
}

#[async_trait]
impl Link for ProxiedLink {
    fn store(&self) -> Arc<dyn LockStore> {
        Arc::clone(&self.store)
    }

    async fn swallow_replies(&self) {
        self.proxy.set(LinkBehaviour::SwallowReplies);
    }

    async fn slow(&self, delay: Duration) {
        self.proxy.set(LinkBehaviour::Slow(delay));
    }

    async fn silence_connections(&self) {
        self.proxy.silence_connections();
    }

    async fn cut(&self) {
        self.proxy.set(LinkBehaviour::Cut);
    }

    async fn restore(&self) {
        self.proxy.set(LinkBehaviour::Pass);
    }
}
