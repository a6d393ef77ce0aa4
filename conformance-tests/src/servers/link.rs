//! A link between a client and a server that goes through a proxy.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::LockStore;

use super::{Conduct, Proxy};
use crate::Link;

/// A store whose connections go through a proxy.
#[derive(Debug)]
pub struct ProxiedLink {
    /// The store of the client.
    pub store: Arc<dyn LockStore>,
    /// The proxy that its connections go through.
    pub proxy: Proxy,
}

#[async_trait]
impl Link for ProxiedLink {
    fn store(&self) -> Arc<dyn LockStore> {
        Arc::clone(&self.store)
    }

    async fn swallow_replies(&self) {
        self.proxy.set(Conduct::SwallowReplies);
    }

    async fn slow(&self, delay: Duration) {
        self.proxy.set(Conduct::Slow(delay));
    }

    async fn silence_connections(&self) {
        self.proxy.silence_connections();
    }

    async fn cut(&self) {
        self.proxy.set(Conduct::Cut);
    }

    async fn restore(&self) {
        self.proxy.set(Conduct::Pass);
    }
}
