//! A test tells this store how to misbehave.
#![allow(dead_code, reason = "each test has its own choice")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use leasehold_core::intercept::{Interceptor, Reply, Request};
use leasehold_core::{
    Clock, Error, ErrorKind, Hint, HintStream, LeaseId, LockStore, MemoryStore, Result,
};

/// A faulty store is a memory store whose every method can be set to misbehave.
#[derive(Debug, Clone)]
pub(crate) struct FaultyStore {
    pub(crate) inner: MemoryStore,
    pub(crate) state: Arc<FaultState>,
}
#[derive(Debug, Default)]
pub(crate) struct FaultState {
    pub(crate) watch: Mutex<WatchFault>,
    pub(crate) hints: Mutex<Vec<tokio::sync::mpsc::UnboundedSender<Hint>>>,
    pub(crate) renew_fails: AtomicBool,
    /// Every call fails while this is true.
    pub(crate) all_fail: AtomicBool,
    /// Each call takes this time.
    pub(crate) latency_ms: AtomicU64,
    /// The store supports instance records while this is true.
    pub(crate) announces: AtomicBool,
    /// The number of announcements so far.
    pub(crate) announcements: AtomicU64,
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
    /// The watch always has another hint.
    Endless,
    Hang,
    Refused,
    PanicOnce,
}

impl FaultyStore {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { inner: MemoryStore::with_clock(clock), state: Arc::default() }
    }
    pub(crate) fn watching(self, fault: WatchFault) -> Self {
        self.set_watch(fault);
        self
    }
    pub(crate) fn set_watch(&self, fault: WatchFault) {
        *self.state.watch.lock().unwrap() = fault;
    }
    pub(crate) fn hint(&self) {
        for sender in &*self.state.hints.lock().unwrap() {
            let _ = sender.send(Hint::Anything);
        }
    }
    async fn delay(&self) {
        if self.state.all_hang.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        let latency = self.state.latency_ms.load(SeqCst);
        if latency > 0 {
            tokio::time::sleep(Duration::from_millis(latency)).await;
        }
    }
    fn fail_if_set(&self) -> Result<()> {
        if self.state.all_fail.load(SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "connection refused"));
        }
        Ok(())
    }
}
struct RenewalCount<'a>(&'a AtomicU64);
impl Drop for RenewalCount<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
#[async_trait]
impl Interceptor for FaultyStore {
    fn inner(&self) -> &dyn LockStore {
        &self.inner
    }
    fn store_label(&self) -> &str {
        "faulty:"
    }
    async fn intercept(&self, request: Request) -> Result<Reply> {
        use Request::{
            Acquire, Announce, Enter, Get, Instances, Leave, Release, Renew, Watch, Withdraw,
        };
        match &request {
            Acquire(_, options) => {
                self.state.acquires.fetch_add(1, SeqCst);
                self.state.acquire_ids.lock().unwrap().push(options.lease);
            }
            Announce(..) | Instances if !self.state.announces.load(SeqCst) => {
                return Err(Error::new(ErrorKind::Unsupported, "no instance records"));
            }
            Announce(..) => {
                self.state.announcements.fetch_add(1, SeqCst);
            }
            Watch => return self.watch_with_fault().await.map(Reply::Watch),
            _ => {}
        }
        let _counted = if let Renew(_) = &request { Some(self.count_renew()) } else { None };
        let concerns_lease =
            matches!(request, Acquire(..) | Enter(..) | Renew(_) | Release(..) | Leave(..));
        if concerns_lease || matches!(request, Announce(..) | Withdraw(_)) {
            self.delay().await;
        }
        if concerns_lease {
            self.fail_if_set()?;
        }
        match &request {
            Renew(_) if self.state.renew_panics.load(SeqCst) => panic!("renew"),
            Renew(_) if self.state.renew_fails.load(SeqCst) => {
                return Err(Error::new(ErrorKind::Unavailable, "connection refused"));
            }
            Release(..) if self.state.release_panics.load(SeqCst) => panic!("release"),
            Get(_) => {
                self.state.gets.fetch_add(1, SeqCst);
            }
            _ => {}
        }
        let is_acquire = matches!(request, Acquire(..));
        let mut reply = request.send_to(&self.inner).await;
        if is_acquire && self.state.acquire_loses_reply.load(SeqCst) {
            return Err(Error::new(ErrorKind::OutcomeUnknown, "the reply was lost"));
        }
        if let Ok(Reply::Get(record)) = &mut reply
            && self.state.zero_remaining.load(SeqCst)
        {
            if self.state.gets.load(SeqCst) > 100_000 {
                std::future::pending::<()>().await;
            }
            if let Some(lease) = record.as_mut().and_then(|record| record.lease.as_mut()) {
                lease.left = Duration::ZERO;
            }
        }
        reply
    }
}
impl FaultyStore {
    fn count_renew(&self) -> RenewalCount<'_> {
        self.state.renews.fetch_add(1, SeqCst);
        let now = self.state.renewing.fetch_add(1, SeqCst) + 1;
        self.state.max_renewing.fetch_max(now, SeqCst);
        RenewalCount(&self.state.renewing)
    }
    async fn watch_with_fault(&self) -> Result<HintStream> {
        let opened_before = self.state.watches.fetch_add(1, SeqCst);
        let fault = *self.state.watch.lock().unwrap();
        match fault {
            WatchFault::Inner => self.inner.watch().await,
            WatchFault::Empty => Ok(Box::pin(stream::empty())),
            WatchFault::Endless => Ok(Box::pin(stream::repeat(Hint::Anything))),
            WatchFault::Hang => std::future::pending().await,
            WatchFault::Refused => Err(Error::new(ErrorKind::Unavailable, "no watch is available")),
            WatchFault::PanicOnce if opened_before == 0 => panic!("watch"),
            WatchFault::PanicOnce => self.inner.watch().await,
            WatchFault::Manual => {
                let (sender, mut hints) = tokio::sync::mpsc::unbounded_channel();
                self.state.hints.lock().unwrap().push(sender);
                Ok(Box::pin(stream::poll_fn(move |context| hints.poll_recv(context))))
            }
        }
    }
}
