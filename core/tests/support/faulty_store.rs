//! This store misbehaves on command.
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
impl Interceptor for FaultyStore {
    fn inner(&self) -> &dyn LockStore {
        &self.inner
    }
    fn store_label(&self) -> &str {
        "faulty:"
    }
    async fn intercept(&self, request: Request) -> Result<Reply> {
        use Request::{Acquire, Announce, Get, Instances, Release, Renew, Watch, Withdraw};
        match &request {
            Acquire(_, options) => {
                self.k.acquires.fetch_add(1, SeqCst);
                self.k.acquire_ids.lock().unwrap().push(options.lease);
            }
            Announce(..) | Instances if !self.k.announces.load(SeqCst) => {
                return Err(Error::new(ErrorKind::Unsupported, "no records of instances"));
            }
            Watch => return self.watch_with_fault().await.map(Reply::Watch),
            _ => {}
        }
        let _under_way = if let Renew(_) = &request { Some(self.count_renew()) } else { None };
        if matches!(request, Acquire(..) | Renew(_) | Release(..) | Announce(..) | Withdraw(_)) {
            self.hang().await;
        }
        if matches!(request, Acquire(..) | Renew(_) | Release(..)) {
            self.note_call()?;
        }
        match &request {
            Renew(_) if self.k.renew_panics.load(SeqCst) => panic!("renew"),
            Renew(_) if self.k.renew_fails.load(SeqCst) => {
                return Err(Error::new(ErrorKind::Unavailable, "away"));
            }
            Release(..) if self.k.release_panics.load(SeqCst) => panic!("release"),
            Get(_) => {
                self.k.gets.fetch_add(1, SeqCst);
            }
            _ => {}
        }
        let is_acquire = matches!(request, Acquire(..));
        let mut reply = request.send_to(&self.inner).await;
        if is_acquire && self.k.acquire_loses_reply.load(SeqCst) {
            return Err(Error::new(ErrorKind::OutcomeUnknown, "deaf"));
        }
        if let Ok(Reply::Get(record)) = &mut reply
            && self.k.zero_remaining.load(SeqCst)
        {
            if self.k.gets.load(SeqCst) > 100_000 {
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
    fn count_renew(&self) -> UnderWay<'_> {
        self.k.renews.fetch_add(1, SeqCst);
        let now = self.k.renewing.fetch_add(1, SeqCst) + 1;
        self.k.max_renewing.fetch_max(now, SeqCst);
        UnderWay(&self.k.renewing)
    }
    async fn watch_with_fault(&self) -> Result<HintStream> {
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
