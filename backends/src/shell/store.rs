//! The store of a backend.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use uuid::Uuid;

use super::backend::Backend;
use super::data::Operation;
use super::operations;
use super::watch::Subscriptions;
use crate::common::timeout::unanswered;
use crate::common::with_context;
use crate::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    EnterOptions, HintStream, InstanceRecord, LeaseId, ListOptions, LockName, LockRecord,
    LockStore, Presence, PruneOptions, ReleaseOptions, ReleaseOutcome, RenewOptions, RenewOutcome,
    Result,
};

/// A store that keeps the contract of [`LockStore`] on top of a [`Backend`].
///
/// If the renewal of one lease in a batch fails, its outcome is
/// [`Unknown`](RenewOutcome::Unknown). The batch fails only if all leases fail, at least one of
/// them for a reason other than a corrupt record.
///
/// Clones share the backend with its connections, and the subscription to hints.
pub struct Store<B> {
    backend: Arc<B>,
    subscriptions: Arc<Subscriptions>,
}

impl<B: Backend> Store<B> {
    /// Creates the store of a backend.
    ///
    /// Another crate calls this in a function of its own; see the [module](super).
    pub fn new(backend: B) -> Self {
        Self { backend: Arc::new(backend), subscriptions: Arc::default() }
    }

    /// Returns the backend.
    #[must_use]
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Limits how long a call takes, and adds the context of the call to its error.
    async fn call<T>(
        &self,
        operation: Operation,
        name: Option<&LockName>,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let result = match self.backend.call_limit(operation) {
            None => call.await,
            Some(limit) => timeout(limit, call)
                .await
                .unwrap_or_else(|_| Err(unanswered(operation.timeout_kind(), limit))),
        };
        result.map_err(with_context(operation.name(), self.backend.label(), name))
    }
}

impl<B> Clone for Store<B> {
    fn clone(&self) -> Self {
        let Self { backend, subscriptions } = self;
        Self { backend: Arc::clone(backend), subscriptions: Arc::clone(subscriptions) }
    }
}

impl<B: fmt::Debug> fmt::Debug for Store<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.backend).finish()
    }
}

#[async_trait]
impl<B: Backend> LockStore for Store<B> {
    fn label(&self) -> &str {
        self.backend.label()
    }

    fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        self.call(
            Operation::Acquire,
            Some(name),
            operations::acquire(self.backend(), name, options),
        )
        .await
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        self.call(Operation::Renew, None, operations::renew(self.backend(), leases)).await
    }

    async fn enter(&self, name: &LockName, options: &EnterOptions) -> Result<AcquireOutcome> {
        self.call(Operation::Enter, Some(name), operations::enter(self.backend(), name, options))
            .await
    }

    async fn leave(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        self.call(Operation::Leave, Some(name), self.backend.leave(name, lease)).await
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        self.call(Operation::Release, Some(name), operations::release(self.backend(), name, lease))
            .await
    }

    async fn release_many(&self, leases: &[ReleaseOptions]) -> Vec<Result<ReleaseOutcome>> {
        let call = operations::release_many(self.backend(), leases);
        let results = match self.call(Operation::Release, None, call).await {
            Ok(Some(results)) => results,
            Ok(None) => {
                let mut results = Vec::with_capacity(leases.len());
                for ReleaseOptions { name, lease, .. } in leases {
                    results.push(self.release(name, *lease).await);
                }
                return results;
            }
            Err(error) => vec![Err(error); leases.len()],
        };
        let with_lease = |(lease, result): (&ReleaseOptions, Result<ReleaseOutcome>)| {
            let name = Some(&lease.name);
            result.map_err(with_context(Operation::Release.name(), self.label(), name))
        };
        leases.iter().zip(results).map(with_lease).collect()
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        self.call(
            Operation::Disable,
            Some(name),
            operations::disable(self.backend(), name, options),
        )
        .await
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        self.call(Operation::Enable, Some(name), self.backend.enable(name)).await
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        self.call(Operation::Get, Some(name), operations::get(self.backend(), name)).await
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        self.call(Operation::List, None, operations::list(self.backend(), options)).await
    }

    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        self.call(Operation::Prune, None, operations::prune(self.backend(), options)).await
    }

    async fn announce(&self, presence: &Presence, ttl: Duration) -> Result<()> {
        self.call(Operation::Announce, None, operations::announce(self.backend(), presence, ttl))
            .await
    }

    async fn withdraw(&self, instance: Uuid) -> Result<()> {
        self.call(Operation::Withdraw, None, self.backend.withdraw(instance)).await
    }

    async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        self.call(Operation::Instances, None, operations::instances(self.backend())).await
    }

    async fn watch(&self) -> Result<HintStream> {
        self.call(Operation::Watch, None, self.subscriptions.watch(&self.backend)).await
    }
}

#[cfg(test)]
mod tests;
