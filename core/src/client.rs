//! A client is an application's access to one store: it makes locks, elections and observers.

use std::sync::Arc;

use crate::engine::Engine;
use crate::lock::NamedLock;
use crate::observer::{self, Observations};
use crate::{
    ClientBuilder, DisableOptions, DisableOutcome, Election, EnableOutcome, FairLock, Holder,
    InstanceRecord, ListOptions, Lock, LockName, LockRecord, LockStore, Reason, Result, RwLock,
    Semaphore, Timing,
};

/// A client is one application instance on one store.
///
/// It owns the holder's identity, one heartbeat and one watch, which all its locks, elections and
/// observers share. A clone is cheap and is the same instance; one client per process and store is
/// enough.
///
/// # What a client promises
///
/// Each promise has a name, which the conformance suite prints when a case that checks it fails.
///
/// * `trust-ends-first`: A lock or a term is trusted only until some time before the lease ends,
///   by the clock at the moment of asking, whether or not a task has run.
/// * `stop-before-others-start`: A leader whose heartbeats fail stops its job, or the job is
///   aborted, before another instance can start it.
/// * `one-stop-per-start`: Each started term is stopped exactly once, on the same instance, with
///   the reason. The lease is released only after that.
/// * `prompt-takeover`: A released or enabled name is taken over at once, by a hint or at the next
///   poll; a crashed holder's name is taken over when its lease ends.
/// * `shared-heartbeats`: All leases of a client share one heartbeat and one watch.
/// * `uncontended-locks`: A lock that nobody else wants costs two calls to the store, an acquire
///   and a release. It is renewed when that is due, and the store is watched from its first
///   heartbeat on.
/// * `waiters-in-order`: The tasks of one client that wait for a lock get it in the order in which
///   they began to wait. Only the first of them asks the store, so each grant costs two calls
///   unless another client wants the lock.
/// * `settings-agree`: Settings that contradict each other or the store are refused before
///   anything is written. The defaults agree with every store's shortest ttl.
/// * `pure-machine`: The state machines depend on their events and on the given time alone.
/// * `renewals-are-repeated`: An unanswered renewal is repeated in time, so a lease is kept when
///   the open connections go silent and new ones are served.
/// * `independent-heartbeats`: Leases are kept while the application's threads compute or block.
/// * `waits-end`: A wait for a lock ends at its time limit, even if the store hangs, and the error
///   names the holder if it is known.
/// * `nothing-left-held`: A cancelled acquire or a dropped guard leaves no lock held.
/// * `observers-follow`: An observer sees the leader and each change of leader without
///   campaigning.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) engine: Arc<Engine>,
    timing: Arc<Timing>,
    /// The machines of this client's locks follow this timing.
    lock_timing: Arc<Timing>,
}

impl Client {
    /// Creates an instance with the default settings.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the store grants no
    /// lease as short as the default ttl.
    pub fn new(store: impl LockStore) -> Result<Self> {
        Self::builder(Arc::new(store)).build()
    }

    /// Starts building an instance with its own settings.
    pub fn builder(store: Arc<dyn LockStore>) -> ClientBuilder {
        ClientBuilder::new(store)
    }

    /// Returns the holder that other instances see for this one.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        &self.engine.holder
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn LockStore> {
        self.engine.store.inner()
    }

    /// Returns the lock of that name.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for an invalid name.
    pub fn lock(&self, name: impl AsRef<str>) -> Result<Lock> {
        Ok(Lock::new(self.named(name)?))
    }

    /// Returns the fair lock of that name, which one call at a time holds, in the order of arrival.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for an invalid name, and
    /// with [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the store has no
    /// [queues](crate::Capabilities::queues).
    pub fn fair_lock(&self, name: impl AsRef<str>) -> Result<FairLock> {
        FairLock::new(self.named(name)?)
    }

    /// Returns the semaphore of that name, which has this many permits.
    ///
    /// # Errors
    /// This fails for the same reasons as [`fair_lock`](Self::fair_lock), and for a number of
    /// permits that is 0 or larger than [`LockKind::MAX_CAPACITY`](crate::LockKind::MAX_CAPACITY).
    pub fn semaphore(&self, name: impl AsRef<str>, permits: u32) -> Result<Semaphore> {
        Semaphore::new(self.named(name)?, permits)
    }

    /// Returns the lock of that name that many readers hold, or one writer.
    ///
    /// # Errors
    /// This fails for the same reasons as [`fair_lock`](Self::fair_lock).
    pub fn rw_lock(&self, name: impl AsRef<str>) -> Result<RwLock> {
        RwLock::new(self.named(name)?)
    }

    fn named(&self, name: impl AsRef<str>) -> Result<NamedLock> {
        let (timing, without_job) = (self.timing.clone(), self.lock_timing.clone());
        Ok(NamedLock::new(self.engine.clone(), LockName::new(name)?, timing, without_job))
    }

    /// Returns the election of that name's leader.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for an invalid name.
    pub fn election(&self, name: impl AsRef<str>) -> Result<Election> {
        Ok(Election::new(self.engine.clone(), LockName::new(name)?, self.timing.clone()))
    }

    /// Returns a stream of the name's leader as it changes, without campaigning.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for an invalid name.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub fn observe(&self, name: impl AsRef<str>) -> Result<Observations> {
        Ok(observer::observe(self.engine.clone(), LockName::new(name)?, self.timing.clone()))
    }

    /// Disables the name: it is not granted until it is enabled, and its leader stops cleanly.
    ///
    /// # Errors
    /// This fails for an invalid name or reason, and with the store's error.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn disable(
        &self,
        name: impl AsRef<str>,
        reason: impl AsRef<str>,
    ) -> Result<DisableOutcome> {
        let name = LockName::new(name)?;
        let reason = Reason::new(reason).map_err(|error| error.for_lock(&name))?;
        let by = Some(self.holder().to_string());
        let options = DisableOptions { reason, by };
        self.engine.store.disable(&name, &options, self.timing.call_limit()).await
    }

    /// Enables the name, so that it can be granted again.
    ///
    /// # Errors
    /// This fails for an invalid name, and with the store's error.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn enable(&self, name: impl AsRef<str>) -> Result<EnableOutcome> {
        let name = LockName::new(name)?;
        self.engine.store.enable(&name, self.timing.call_limit()).await
    }

    /// Reads the store's record of a name.
    ///
    /// # Errors
    /// This fails for an invalid name, and with the store's error.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn status(&self, name: impl AsRef<str>) -> Result<LockRecord> {
        let name = LockName::new(name)?;
        let record = self.engine.store.get(&name, self.timing.call_limit()).await?;
        Ok(record.unwrap_or_else(|| LockRecord::unused(name)))
    }

    /// Reads the instances that campaign in elections on this store. An instance that died stays
    /// listed until its record expires, two ttls after its last announcement.
    ///
    /// # Errors
    /// This fails with the store's error.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        self.engine.store.instances(self.timing.call_limit()).await
    }

    /// Reads the store's records of all names.
    ///
    /// # Errors
    /// This fails with the store's error.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn list(&self) -> Result<Vec<LockRecord>> {
        self.engine.store.list(self.timing.call_limit()).await
    }

    /// Reads the store's records of one page of names.
    ///
    /// # Errors
    /// This fails with the store's error.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn list_page(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        self.engine.store.list_page(options, self.timing.call_limit()).await
    }
}

impl ClientBuilder {
    /// Builds the client.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the settings contradict
    /// each other or the store, or if the label is invalid.
    pub fn build(self) -> Result<Client> {
        let (engine, timing) = self.build_engine()?;
        let lock_timing = Arc::new(timing.without_job());
        Ok(Client { engine: Arc::new(engine), timing: Arc::new(timing), lock_timing })
    }
}
