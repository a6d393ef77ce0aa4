//! This module has the client with which the cases about queues make their calls. It has no cases.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_core::{
    AcquireOutcome, EnterOptions, ErrorKind, LeaseId, LockKind, LockName, LockStore, LockStoreExt,
    QueueRecord, ReleaseOutcome, RenewOutcome, Result,
};
use tokio::time::sleep;

use crate::client::retry_while_busy;
use crate::{CaseResult, Client, Ctx, Failure};

/// A queue client makes entries in the queue of one name, with the same kind and ttl. Its calls are
/// repeated like those of the [`Client`] that it wraps.
#[derive(Clone)]
pub(super) struct QueueClient {
    pub(super) client: Client,
    pub(super) name: LockName,
    pub(super) kind: LockKind,
    pub(super) ttl: Duration,
}

impl QueueClient {
    /// An entry may last this much longer than its remaining time before a case fails.
    const EXPIRY_LIMIT: Duration = Duration::from_secs(90);

    /// Opens a client whose entries do not expire within a case.
    pub(super) async fn open(ctx: &Ctx, name: &str, kind: LockKind) -> CaseResult<Self> {
        let client = ctx.open().await?;
        Ok(Self { client, name: ctx.name(name), kind, ttl: ctx.long_ttl() })
    }

    /// Returns a client on that store, for the same queue.
    pub(super) fn on_store(&self, store: Arc<dyn LockStore>) -> Self {
        Self { client: Client::new(store), ..self.clone() }
    }

    /// Returns this client, as one that uses the name as another kind of lock.
    pub(super) fn as_kind(&self, kind: LockKind) -> Self {
        Self { kind, ..self.clone() }
    }

    /// Describes a new attempt with an entry of the weight 1 that waits.
    pub(super) fn attempt(&self) -> EnterOptions {
        self.attempt_for(self.ttl)
    }

    /// Describes a new attempt with an entry that lasts only so long.
    pub(super) fn attempt_for(&self, ttl: Duration) -> EnterOptions {
        EnterOptions::new(LeaseId::new(), self.client.holder().clone(), ttl, self.kind)
    }

    /// Describes an attempt under the lease of another one, with this client's kind and with that
    /// ttl.
    pub(super) fn repeat_for(&self, attempt: &EnterOptions, ttl: Duration) -> EnterOptions {
        EnterOptions::new(attempt.lease, attempt.holder.clone(), ttl, self.kind)
    }

    /// Enters the queue, and retries with the same id if the outcome is unknown.
    pub(super) async fn enter(&self, attempt: &EnterOptions) -> Result<AcquireOutcome> {
        retry_while_busy!(
            self.client.store().enter(&self.name, attempt),
            ErrorKind::Unavailable | ErrorKind::OutcomeUnknown
        )
    }

    /// Makes a new attempt to acquire the name as an exclusive lock.
    pub(super) async fn acquire(&self) -> Result<AcquireOutcome> {
        self.client.acquire(&self.name, LeaseId::new(), self.ttl).await
    }

    /// Renews the entry, for the ttl of the attempt.
    pub(super) async fn renew(&self, attempt: &EnterOptions) -> Result<RenewOutcome> {
        self.renew_for(attempt.lease, attempt.ttl).await
    }

    /// Renews the entry of that lease for that time.
    pub(super) async fn renew_for(&self, lease: LeaseId, ttl: Duration) -> Result<RenewOutcome> {
        let store = self.client.store();
        retry_while_busy!(store.renew_entry(&self.name, lease, ttl), ErrorKind::Unavailable)
    }

    pub(super) async fn leave(&self, attempt: &EnterOptions) -> Result<ReleaseOutcome> {
        self.leave_by(attempt.lease).await
    }

    /// Removes the entry of that lease.
    pub(super) async fn leave_by(&self, lease: LeaseId) -> Result<ReleaseOutcome> {
        retry_while_busy!(self.client.store().leave(&self.name, lease), ErrorKind::Unavailable)
    }

    pub(super) async fn disable(&self, reason: &str) -> CaseResult {
        self.client.disable(&self.name, reason).await?;
        Ok(())
    }

    pub(super) async fn enable(&self) -> CaseResult {
        self.client.enable(&self.name).await?;
        Ok(())
    }

    /// Returns the queue as the record shows it, or one without entries.
    pub(super) async fn queue(&self) -> CaseResult<QueueRecord> {
        let queue = self.client.get(&self.name).await?.and_then(|record| record.queue);
        Ok(queue.unwrap_or_else(|| QueueRecord::new(self.kind, Vec::new())))
    }

    /// Returns the leases of the entries that hold the lock, and of those that wait, in order.
    pub(super) async fn leases(&self) -> CaseResult<(Vec<LeaseId>, Vec<LeaseId>)> {
        let queue = self.queue().await?;
        let holders = queue.holders().iter().map(|entry| entry.id).collect();
        Ok((holders, queue.waiters().iter().map(|entry| entry.id).collect()))
    }

    /// Waits until the record no longer shows the entry of that lease.
    ///
    /// # Errors
    /// This fails if the entry lasts much longer than the time that was left of it.
    pub(super) async fn until_gone(&self, lease: LeaseId) -> CaseResult {
        let mut end = None;
        loop {
            let queue = self.queue().await?;
            let Some(entry) = queue.entries.iter().find(|entry| entry.id == lease) else {
                return Ok(());
            };
            let end = *end.get_or_insert(Instant::now() + entry.left + Self::EXPIRY_LIMIT);
            if Instant::now() > end {
                return Err(Failure::new(format!("an entry of {:?} does not expire", self.name)));
            }
            sleep(entry.left.clamp(Duration::from_millis(5), Duration::from_millis(300))).await;
        }
    }
}

/// Returns the kind of a semaphore of that many permits.
pub(super) fn semaphore(permits: u32) -> CaseResult<LockKind> {
    Ok(LockKind::semaphore(permits)?)
}
