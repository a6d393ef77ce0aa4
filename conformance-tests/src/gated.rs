//! This store can block its calls, and counts them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::intercept::{Interceptor, Reply, Request};
use leasehold_core::{LockStore, Result};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Forwards each call to its store, but blocks it while the gate is shut. Clones share the gate.
#[derive(Clone, Debug)]
pub struct GatedStore {
    store: Arc<dyn LockStore>,
    open: Arc<watch::Sender<bool>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// This counts the calls of each operation.
    calls: Mutex<BTreeMap<&'static str, u64>>,
    renewals: AtomicU64,
    grant_delay_ms: AtomicU64,
}

impl GatedStore {
    /// Creates a store whose gate is open.
    #[must_use]
    pub fn new(store: Arc<dyn LockStore>) -> Self {
        Self { store, open: Arc::new(watch::Sender::new(true)), counts: Arc::default() }
    }

    /// Shuts the gate: from now on no call gets through and none returns.
    pub fn shut(&self) {
        self.open.send_replace(false);
    }

    /// Opens the gate: calls get through again, including those that are blocked.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Delays the reply to each acquire by that time, from now on.
    pub fn delay_grants(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.counts.grant_delay_ms.store(millis, Ordering::SeqCst);
    }

    /// Returns the number of renew calls so far, and the number of leases in them.
    #[must_use]
    pub fn renewals(&self) -> (u64, u64) {
        (self.count("renew"), self.counts.renewals.load(Ordering::SeqCst))
    }

    /// Returns the number of watches opened so far.
    #[must_use]
    pub fn watches(&self) -> u64 {
        self.count("watch")
    }

    /// Returns how often each operation was called so far.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<&'static str, u64> {
        self.counts.calls.lock().clone()
    }

    fn count(&self, operation: &str) -> u64 {
        self.counts.calls.lock().get(operation).copied().unwrap_or_default()
    }

    async fn wait_until_open(&self) {
        // This fails only if there is no sender, and `self` has one.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }
}

#[async_trait]
impl Interceptor for GatedStore {
    fn inner(&self) -> &dyn LockStore {
        &*self.store
    }

    async fn intercept(&self, request: Request) -> Result<Reply> {
        *self.counts.calls.lock().entry(request.operation()).or_default() += 1;
        if let Request::Renew(leases) = &request {
            self.counts.renewals.fetch_add(leases.len() as u64, Ordering::SeqCst);
        }
        let is_acquire = matches!(request, Request::Acquire(..));
        self.wait_until_open().await;
        let reply = request.send_to(self.inner()).await;
        self.wait_until_open().await;
        if is_acquire {
            let delay = Duration::from_millis(self.counts.grant_delay_ms.load(Ordering::SeqCst));
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
        }
        reply
    }
}
