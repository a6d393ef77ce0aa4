//! A wrapper that notes every renewal that goes to the store beneath it.

use std::sync::Arc;
use std::time::Instant;

use leasehold::async_trait;
use leasehold::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    HintStream, LeaseId, ListOptions, LockName, LockRecord, LockStore, PruneOptions,
    ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};
use parking_lot::Mutex;

/// One call of [`LockStore::renew`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    pub(crate) leases: usize,
}

/// Passes everything on.
#[derive(Debug)]
pub(crate) struct CountingStore {
    inner: Arc<dyn LockStore>,
    calls: Mutex<Vec<Call>>,
}

impl CountingStore {
    pub(crate) fn new(inner: Arc<dyn LockStore>) -> Self {
        Self { inner, calls: Mutex::default() }
    }

    /// The calls since this was last asked, in the order of their beginnings.
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        let mut calls = std::mem::take(&mut *self.calls.lock());
        calls.sort_by_key(|call| call.begun);
        calls
    }
}

#[async_trait]
impl LockStore for CountingStore {
    fn label(&self) -> &str {
        self.inner.label()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        self.inner.acquire(name, options).await
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        let begun = Instant::now();
        let outcome = self.inner.renew(leases).await;
        let call = Call { begun, ended: Instant::now(), leases: leases.len() };
        self.calls.lock().push(call);
        outcome
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        self.inner.release(name, lease).await
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        self.inner.disable(name, options).await
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        self.inner.enable(name).await
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        self.inner.get(name).await
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        self.inner.list(options).await
    }

    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        self.inner.prune(options).await
    }

    async fn watch(&self) -> Result<HintStream> {
        self.inner.watch().await
    }
}
