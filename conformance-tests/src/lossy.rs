//! This store loses replies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use leasehold_core::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    Error, ErrorKind, HintStream, LeaseId, ListOptions, LockName, LockRecord, LockStore,
    PruneOptions, ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};

/// Forwards each call to its store, and loses the answers to the next writes on request.
#[derive(Debug)]
pub struct LossyStore {
    store: Arc<dyn LockStore>,
    to_lose: AtomicUsize,
}

impl LossyStore {
    /// Creates a store that loses nothing yet.
    #[must_use]
    pub fn new(store: Arc<dyn LockStore>) -> Self {
        Self { store, to_lose: AtomicUsize::new(0) }
    }

    /// Loses the answers to that many writes, from now on.
    pub fn lose(&self, answers: usize) {
        self.to_lose.store(answers, Ordering::SeqCst);
    }

    fn deliver<T>(&self, answer: Result<T>) -> Result<T> {
        let lost = self
            .to_lose
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok();
        if lost {
            Err(Error::new(ErrorKind::OutcomeUnknown, "the answer was lost"))
        } else {
            answer
        }
    }
}

#[async_trait]
impl LockStore for LossyStore {
    fn label(&self) -> &str {
        self.store.label()
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        self.deliver(self.store.acquire(name, options).await)
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        self.deliver(self.store.renew(leases).await)
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        self.deliver(self.store.release(name, lease).await)
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        self.deliver(self.store.disable(name, options).await)
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        self.deliver(self.store.enable(name).await)
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        self.store.get(name).await
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        self.store.list(options).await
    }

    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        self.deliver(self.store.prune(options).await)
    }

    async fn watch(&self) -> Result<HintStream> {
        self.store.watch().await
    }
}
