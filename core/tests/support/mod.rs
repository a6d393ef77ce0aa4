//! A store that fails on command.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    Error, ErrorKind, HintStream, LeaseId, ListOptions, LockName, LockRecord, LockStore,
    MemoryStore, ReleaseOutcome, RenewOptions, RenewOutcome, Result,
};

/// How one instance's way to the store is.
#[allow(dead_code, reason = "each test has its own choice")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Fair = 0,
    /// Every call fails before it reaches the store.
    Away = 1,
    /// No call ever returns.
    Hanging = 2,
    /// Every call is done, and its answer lost.
    Deaf = 3,
}

/// One instance's way to a shared [`MemoryStore`].
#[derive(Debug)]
pub(crate) struct Link {
    store: MemoryStore,
    weather: AtomicU8,
    random: Mutex<fastrand::Rng>,
    longest_delay: Duration,
    pub(crate) watchable: AtomicBool,
}

impl Link {
    pub(crate) fn new(store: &MemoryStore, seed: u64, longest_delay: Duration) -> Arc<Self> {
        Arc::new(Self {
            store: store.clone(),
            weather: AtomicU8::new(Weather::Fair as u8),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            longest_delay,
            watchable: AtomicBool::new(true),
        })
    }

    #[allow(dead_code, reason = "not every test changes the weather")]
    pub(crate) fn set(&self, weather: Weather) {
        self.weather.store(weather as u8, Ordering::SeqCst);
    }

    fn is(&self, weather: Weather) -> bool {
        self.weather.load(Ordering::SeqCst) == weather as u8
    }

    async fn pass<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let delay = self.longest_delay.mul_f64(self.random.lock().unwrap().f64());
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if self.is(Weather::Hanging) {
            std::future::pending::<()>().await;
        }
        if self.is(Weather::Away) {
            return Err(Error::new(ErrorKind::Unavailable, "the link is down"));
        }
        let answer = call.await;
        if self.is(Weather::Deaf) {
            return Err(Error::new(ErrorKind::OutcomeUnknown, "the answer was lost"));
        }
        answer
    }
}

/// The link as a store.
#[derive(Clone, Debug)]
pub(crate) struct Linked(pub(crate) Arc<Link>);

#[async_trait]
impl LockStore for Linked {
    fn label(&self) -> &str {
        "linked:"
    }

    fn capabilities(&self) -> Capabilities {
        self.0.store.capabilities()
    }

    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        self.0.pass(self.0.store.acquire(name, options)).await
    }

    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        self.0.pass(self.0.store.renew(leases)).await
    }

    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        self.0.pass(self.0.store.release(name, lease)).await
    }

    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        self.0.pass(self.0.store.disable(name, options)).await
    }

    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        self.0.pass(self.0.store.enable(name)).await
    }

    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        self.0.pass(self.0.store.get(name)).await
    }

    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        self.0.pass(self.0.store.list(options)).await
    }

    async fn watch(&self) -> Result<HintStream> {
        if !self.0.watchable.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "no watch is to be had"));
        }
        self.0.pass(self.0.store.watch()).await
    }
}
