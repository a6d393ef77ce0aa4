//! This client makes short calls for cases, and repeats them while the store is busy.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_core::{
    AcquireOptions, AcquireOutcome, DisableOptions, DisableOutcome, EnableOutcome, ErrorKind,
    FencingToken, Hint, HintStream, Holder, LeaseId, LeaseRecord, LockName, LockRecord, LockStore,
    LockStoreExt, Reason, ReleaseOutcome, RenewOutcome, Result,
};

use crate::{CaseResult, Failure};

/// A client uses one store, with its own holder.
///
/// Its methods repeat a call if the store was too busy and wrote nothing, because the promises say
/// nothing about speed. It dereferences to the store, for calls that must be made only once.
#[derive(Clone, Debug)]
pub struct Client {
    store: Arc<dyn LockStore>,
    holder: Holder,
}

/// This is a lease that was granted, with the times before and after the call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HeldLease {
    /// This is the name of the lock.
    pub name: LockName,
    /// This is the id of the lease.
    pub lease: LeaseId,
    /// This is the fencing token of the grant.
    pub token: FencingToken,
    /// This much time remained when the store decided.
    pub left: Duration,
    /// This is the time before the call. The store decided later.
    pub asked: Instant,
    /// This is the time after the call. The store decided earlier.
    pub answered: Instant,
}

impl HeldLease {
    /// Returns the time until which the lease is certainly in force if it is neither renewed nor
    /// released.
    #[must_use]
    pub fn trusted_until(&self) -> Instant {
        self.asked + self.left
    }
}

/// Repeats a call while the store is too busy.
macro_rules! retry_while_busy {
    ($call:expr, $kinds:pat) => {{
        let end = Instant::now() + Client::LIMIT;
        loop {
            match $call.await {
                Err(error) if matches!(error.kind(), $kinds) && Instant::now() < end => {
                    let pause = Duration::from_millis(fastrand::u64(1..20));
                    tokio::time::sleep(pause).await;
                }
                result => break result,
            }
        }
    }};
}

pub(crate) use retry_while_busy;

impl Client {
    pub(crate) const LIMIT: Duration = Duration::from_secs(60);

    /// Creates a client on that store.
    #[must_use]
    pub fn new(store: Arc<dyn LockStore>) -> Self {
        Self { store, holder: Holder::current().with_label("conformance") }
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn LockStore> {
        &self.store
    }

    /// Returns the holder with which this client acquires locks.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Returns the options with which this client acquires a lease.
    #[must_use]
    pub fn options(&self, lease: LeaseId, ttl: Duration) -> AcquireOptions {
        AcquireOptions::new(lease, self.holder.clone(), ttl)
    }

    /// Acquires the lease, and retries with the same id if the outcome is unknown.
    ///
    /// # Errors
    /// Returns the store's error.
    pub async fn acquire(
        &self,
        name: &LockName,
        lease: LeaseId,
        ttl: Duration,
    ) -> Result<AcquireOutcome> {
        let options = self.options(lease, ttl);
        retry_while_busy!(
            self.store.acquire(name, &options),
            ErrorKind::Unavailable | ErrorKind::OutcomeUnknown
        )
    }

    /// Makes a new attempt to acquire the name and notes the times before and after the call.
    /// Returns the store's answer as the inner error if the name is not free.
    ///
    /// # Errors
    /// Returns the store's error.
    pub async fn try_acquire(
        &self,
        name: &LockName,
        ttl: Duration,
    ) -> Result<std::result::Result<HeldLease, AcquireOutcome>> {
        let lease = LeaseId::new();
        let asked = Instant::now();
        let outcome = self.acquire(name, lease, ttl).await?;
        let answered = Instant::now();
        Ok(match outcome {
            AcquireOutcome::Granted(grant) => Ok(HeldLease {
                name: name.clone(),
                lease,
                token: grant.token,
                left: grant.left,
                asked,
                answered,
            }),
            other => Err(other),
        })
    }

    /// Acquires the name, which must be free.
    ///
    /// # Errors
    /// Returns the store's error, or a failure if the name is not free.
    pub async fn acquire_free(&self, name: &LockName, ttl: Duration) -> CaseResult<HeldLease> {
        self.try_acquire(name, ttl).await?.map_err(|outcome| {
            Failure::new(format!("lock {name:?} is free, but acquire returned {outcome:?}"))
        })
    }

    /// Acquires the name as soon as it is free.
    ///
    /// # Errors
    /// Returns the store's error.
    pub async fn acquire_when_free(&self, name: &LockName, ttl: Duration) -> CaseResult<HeldLease> {
        loop {
            if let Ok(taken) = self.try_acquire(name, ttl).await? {
                return Ok(taken);
            }
            tokio::time::sleep(Duration::from_millis(fastrand::u64(1..10))).await;
        }
    }

    /// Renews one lease.
    ///
    /// # Errors
    /// Returns the store's error.
    pub async fn renew(
        &self,
        name: &LockName,
        lease: LeaseId,
        ttl: Duration,
    ) -> Result<RenewOutcome> {
        retry_while_busy!(self.store.renew_one(name, lease, ttl), ErrorKind::Unavailable)
    }

    /// Releases one lease.
    ///
    /// # Errors
    /// Returns the store's error.
    pub async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        retry_while_busy!(self.store.release(name, lease), ErrorKind::Unavailable)
    }

    /// Releases a lease that is in force.
    ///
    /// # Errors
    /// Returns the store's error, or a failure if the lease is not in force.
    pub async fn release_held(&self, taken: &HeldLease) -> CaseResult {
        match self.release(&taken.name, taken.lease).await? {
            ReleaseOutcome::Released => Ok(()),
            ReleaseOutcome::NotHeld => Err(Failure::new(format!(
                "the lease of {:?} with token {} is in force, but release returned NotHeld",
                taken.name, taken.token
            ))),
        }
    }

    /// Disables the name.
    ///
    /// # Errors
    /// Returns the store's error.
    pub async fn disable(&self, name: &LockName, reason: &str) -> Result<DisableOutcome> {
        let options = DisableOptions::new(Reason::new(reason)?);
        retry_while_busy!(self.store.disable(name, &options), ErrorKind::Unavailable)
    }

    /// Enables the name.
    ///
    /// # Errors
    /// Returns the store's error.
    pub async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        retry_while_busy!(self.store.enable(name), ErrorKind::Unavailable)
    }

    /// Reads the record of the name.
    ///
    /// # Errors
    /// Returns the store's error.
    pub async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        retry_while_busy!(self.store.get(name), ErrorKind::Unavailable)
    }

    /// Returns the lease in force, if there is one.
    ///
    /// # Errors
    /// Returns the store's error.
    pub async fn lease_of(&self, name: &LockName) -> Result<Option<LeaseRecord>> {
        Ok(self.get(name).await?.and_then(|record| record.lease))
    }

    /// Returns the id of the lease in force, if there is one.
    ///
    /// # Errors
    /// Returns the store's error.
    pub async fn holder_of(&self, name: &LockName) -> Result<Option<LeaseId>> {
        Ok(self.lease_of(name).await?.map(|lease| lease.id))
    }

    /// Returns the names on record, in the order of the store's answer.
    ///
    /// # Errors
    /// Returns the store's error.
    pub async fn names(&self, prefix: &str) -> Result<Vec<LockName>> {
        let records: Vec<LockRecord> =
            retry_while_busy!(self.store.list_all(prefix), ErrorKind::Unavailable)?;
        Ok(records.into_iter().map(|record| record.name).collect())
    }

    /// Opens a watch on the store.
    ///
    /// # Errors
    /// Returns the store's error.
    pub async fn watch(&self) -> Result<HintStream> {
        self.store.watch().await
    }
}

impl Deref for Client {
    type Target = dyn LockStore;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

/// Returns whether the hint concerns the name.
pub(crate) fn concerns(hint: &Hint, name: &LockName) -> bool {
    match hint {
        Hint::Name(hinted) | Hint::Entries(hinted, _) => hinted == name,
        _ => true,
    }
}
