//! This store can block its calls, and counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    HintStream, InstanceRecord, LeaseId, ListOptions, LockName, LockRecord, LockStore, Presence,
    PruneOptions, ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};
use tokio::sync::watch;
use uuid::Uuid;

/// Forwards each call to its store, but blocks it while the gate is shut. Clones share the gate.
#[derive(Clone, Debug)]
pub struct GatedStore {
    store: Arc<dyn LockStore>,
    open: Arc<watch::Sender<bool>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    renew_calls: AtomicU64,
    renewals: AtomicU64,
    watches: AtomicU64,
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

    /// Delays the answer of each acquire by that time, from now on.
    pub fn delay_grants(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.counts.grant_delay_ms.store(millis, Ordering::SeqCst);
    }

    /// Returns the number of renew calls so far, and the number of leases in them.
    #[must_use]
    pub fn renewals(&self) -> (u64, u64) {
        let Counts { renew_calls, renewals, .. } = &*self.counts;
        (renew_calls.load(Ordering::SeqCst), renewals.load(Ordering::SeqCst))
    }

    /// Returns the number of watches opened so far.
    #[must_use]
    pub fn watches(&self) -> u64 {
        self.counts.watches.load(Ordering::SeqCst)
    }

    async fn through<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let mut open = self.open.subscribe();
        // This fails only if there is no sender, and `self` has one.
        let _ = open.wait_for(|open| *open).await;
        let answer = call.await;
        let _ = open.wait_for(|open| *open).await;
        answer
    }
}

#[async_trait]
impl LockStore for GatedStore {
    fn label(&self) -> &str {
        self.store.label()
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        let answer = self.through(self.store.acquire(name, options)).await;
        let delay = Duration::from_millis(self.counts.grant_delay_ms.load(Ordering::SeqCst));
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        answer
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        self.counts.renew_calls.fetch_add(1, Ordering::SeqCst);
        self.counts.renewals.fetch_add(leases.len() as u64, Ordering::SeqCst);
        self.through(self.store.renew(leases)).await
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        self.through(self.store.release(name, lease)).await
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        self.through(self.store.disable(name, options)).await
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        self.through(self.store.enable(name)).await
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        self.through(self.store.get(name)).await
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        self.through(self.store.list(options)).await
    }

    async fn announce(&self, presence: &Presence, ttl: Duration) -> Result<()> {
        self.through(self.store.announce(presence, ttl)).await
    }

    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        self.through(self.store.withdraw(instance)).await
    }

    async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        self.through(self.store.instances()).await
    }

    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        self.through(self.store.prune(options)).await
    }

    async fn watch(&self) -> Result<HintStream> {
        self.counts.watches.fetch_add(1, Ordering::SeqCst);
        self.through(self.store.watch()).await
    }
}
