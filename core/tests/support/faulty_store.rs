//! This store misbehaves on command.
#![allow(dead_code, reason = "each test has its own choice")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use leasehold_core::{
    AcquireOptions, AcquireOutcome, Capabilities, Clock, DisableOptions, DisableOutcome,
    EnableOutcome, Error, ErrorKind, Hint, HintStream, InstanceRecord, LeaseId, ListOptions,
    LockName, LockRecord, LockStore, MemoryStore, Presence, PruneOptions, ReleaseOutcome,
    RenewOptions, RenewOutcome, Result,
};

/// A faulty store is a memory store whose every method can be set to misbehave.
#[derive(Debug, Clone)]
pub(crate) struct FaultyStore {
    pub(crate) inner: MemoryStore,
    pub(crate) k: Arc<FaultSettings>,
}
#[derive(Debug, Default)]
pub(crate) struct FaultSettings {
    pub(crate) watch: Mutex<WatchFault>,
    pub(crate) hints: Mutex<Vec<tokio::sync::mpsc::UnboundedSender<Hint>>>,
    pub(crate) renew_fails: AtomicBool,
    /// Every call fails while this is true.
    pub(crate) all_fail: AtomicBool,
    /// Each call takes this time.
    pub(crate) latency_ms: AtomicU64,
    /// The store supports instance records while this is true.
    pub(crate) announces: AtomicBool,
    /// The number of renewals in progress, and the highest number so far.
    pub(crate) renewing: AtomicU64,
    pub(crate) max_renewing: AtomicU64,
    pub(crate) renew_panics: AtomicBool,
    pub(crate) release_panics: AtomicBool,
    pub(crate) acquire_loses_reply: AtomicBool,
    pub(crate) all_hang: AtomicBool,
    pub(crate) zero_remaining: AtomicBool,
    pub(crate) renews: AtomicU64,
    pub(crate) acquires: AtomicU64,
    /// The lease id of each acquire.
    pub(crate) acquire_ids: Mutex<Vec<LeaseId>>,
    pub(crate) gets: AtomicU64,
    pub(crate) watches: AtomicU64,
}
#[derive(Debug, Default, Clone, Copy)]
pub(crate) enum WatchFault {
    #[default]
    Inner,
    Manual,
    Empty,
    Hang,
    Refused,
    PanicOnce,
}

impl FaultyStore {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { inner: MemoryStore::with_clock(clock), k: Arc::default() }
    }
    pub(crate) fn watching(self, w: WatchFault) -> Self {
        self.set_watch(w);
        self
    }
    pub(crate) fn set_watch(&self, w: WatchFault) {
        *self.k.watch.lock().unwrap() = w;
    }
    pub(crate) fn hint(&self) {
        for h in &*self.k.hints.lock().unwrap() {
            let _ = h.send(Hint::Anything);
        }
    }
    async fn hang(&self) {
        if self.k.all_hang.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        let latency = self.k.latency_ms.load(SeqCst);
        if latency > 0 {
            tokio::time::sleep(Duration::from_millis(latency)).await;
        }
    }
    fn note_call(&self) -> Result<()> {
        if self.k.all_fail.load(SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "away"));
        }
        Ok(())
    }
}
struct UnderWay<'a>(&'a AtomicU64);
impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
#[async_trait]
impl LockStore for FaultyStore {
    fn label(&self) -> &str {
        "faulty:"
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn acquire(&self, n: &LockName, o: &AcquireOptions) -> Result<AcquireOutcome> {
        self.k.acquires.fetch_add(1, SeqCst);
        self.k.acquire_ids.lock().unwrap().push(o.lease);
        self.hang().await;
        self.note_call()?;
        let a = self.inner.acquire(n, o).await;
        if self.k.acquire_loses_reply.load(SeqCst) {
            return Err(Error::new(ErrorKind::OutcomeUnknown, "deaf"));
        }
        a
    }
    async fn renew(&self, l: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        self.k.renews.fetch_add(1, SeqCst);
        let now = self.k.renewing.fetch_add(1, SeqCst) + 1;
        self.k.max_renewing.fetch_max(now, SeqCst);
        let _under_way = UnderWay(&self.k.renewing);
        self.hang().await;
        self.note_call()?;
        if self.k.renew_panics.load(SeqCst) {
            panic!("renew")
        }
        if self.k.renew_fails.load(SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "away"));
        }
        self.inner.renew(l).await
    }
    async fn release(&self, n: &LockName, l: LeaseId) -> Result<ReleaseOutcome> {
        self.hang().await;
        self.note_call()?;
        if self.k.release_panics.load(SeqCst) {
            panic!("release")
        }
        self.inner.release(n, l).await
    }
    async fn disable(&self, n: &LockName, o: &DisableOptions) -> Result<DisableOutcome> {
        self.inner.disable(n, o).await
    }
    async fn enable(&self, n: &LockName) -> Result<EnableOutcome> {
        self.inner.enable(n).await
    }
    async fn get(&self, n: &LockName) -> Result<Option<LockRecord>> {
        self.k.gets.fetch_add(1, SeqCst);
        let mut r = self.inner.get(n).await?;
        if self.k.zero_remaining.load(SeqCst) {
            if self.k.gets.load(SeqCst) > 100_000 {
                std::future::pending::<()>().await;
            }
            if let Some(l) = r.as_mut().and_then(|r| r.lease.as_mut()) {
                l.left = Duration::ZERO;
            }
        }
        Ok(r)
    }
    async fn list(&self, o: &ListOptions) -> Result<Vec<LockRecord>> {
        self.inner.list(o).await
    }
    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        self.inner.prune(options).await
    }

    async fn announce(&self, p: &Presence, ttl: Duration) -> Result<()> {
        if !self.k.announces.load(SeqCst) {
            return Err(Error::new(ErrorKind::Unsupported, "no records of instances"));
        }
        self.hang().await;
        self.inner.announce(p, ttl).await
    }
    async fn withdraw(&self, instance: uuid::Uuid) -> Result<()> {
        self.hang().await;
        self.inner.withdraw(instance).await
    }
    async fn instances(&self) -> Result<Vec<InstanceRecord>> {
        if !self.k.announces.load(SeqCst) {
            return Err(Error::new(ErrorKind::Unsupported, "no records of instances"));
        }
        self.inner.instances().await
    }
    async fn watch(&self) -> Result<HintStream> {
        let n = self.k.watches.fetch_add(1, SeqCst);
        let w = *self.k.watch.lock().unwrap();
        match w {
            WatchFault::Inner => self.inner.watch().await,
            WatchFault::Empty => Ok(Box::pin(stream::empty())),
            WatchFault::Hang => std::future::pending().await,
            WatchFault::Refused => Err(Error::new(ErrorKind::Unavailable, "no watch is available")),
            WatchFault::PanicOnce if n == 0 => panic!("watch"),
            WatchFault::PanicOnce => self.inner.watch().await,
            WatchFault::Manual => {
                let (s, mut r) = tokio::sync::mpsc::unbounded_channel();
                self.k.hints.lock().unwrap().push(s);
                Ok(Box::pin(stream::poll_fn(move |cx| r.poll_recv(cx))))
            }
        }
    }
}
