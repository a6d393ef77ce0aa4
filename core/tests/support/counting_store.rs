//! This store counts its calls, and answers each after some time, on paused time.
#![allow(dead_code, reason = "each test has its own choice")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use leasehold_core::intercept::{Interceptor, Reply, Request};
use leasehold_core::{Client, Clock, LockStore, MemoryStore, Result, TokioClock};

/// Each call takes this time, unless a test says otherwise.
pub(crate) const LATENCY: Duration = Duration::from_millis(10);

/// A counting store is one instance's access to a memory store, on paused time.
#[derive(Clone, Debug)]
pub(crate) struct CountingStore {
    clock: Arc<dyn Clock>,
    store: MemoryStore,
    latency: Duration,
    log: Arc<Mutex<Vec<(&'static str, CallStage)>>>,
    open_watches: Arc<AtomicUsize>,
}

/// An open watch is counted until it is dropped.
struct OpenWatch(Arc<AtomicUsize>);

impl OpenWatch {
    fn new(open_watches: Arc<AtomicUsize>) -> Self {
        open_watches.fetch_add(1, SeqCst);
        Self(open_watches)
    }
}

impl Drop for OpenWatch {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallStage {
    Sent,
    Answered,
}

impl CountingStore {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(TokioClock::new());
        let store = MemoryStore::with_clock(clock.clone());
        let (log, open_watches) = (Arc::default(), Arc::default());
        Self { clock, store, latency: LATENCY, log, open_watches }
    }

    /// Returns the access of another instance to the same store.
    pub(crate) fn another(&self) -> Self {
        Self { log: Arc::default(), open_watches: Arc::default(), ..self.clone() }
    }

    pub(crate) fn with_latency(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }

    pub(crate) fn client(&self) -> Client {
        let builder = Client::builder(Arc::new(self.clone())).clock(self.clock.clone());
        builder.seed(1).build().unwrap()
    }

    /// Returns the calls so far, with their stages in the order in which they happened.
    pub(crate) fn log(&self) -> Vec<(&'static str, CallStage)> {
        self.log.lock().unwrap().clone()
    }

    /// Returns how often each operation was called.
    pub(crate) fn calls(&self) -> Vec<(&'static str, usize)> {
        let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
        for (operation, stage) in self.log() {
            if stage == CallStage::Sent {
                *counts.entry(operation).or_default() += 1;
            }
        }
        counts.into_iter().collect()
    }

    /// Returns how often that operation was called.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.calls().into_iter().find(|(name, _)| *name == operation).map_or(0, |(_, count)| count)
    }

    pub(crate) fn open_watches(&self) -> usize {
        self.open_watches.load(SeqCst)
    }

    fn note(&self, operation: &'static str, stage: CallStage) {
        self.log.lock().unwrap().push((operation, stage));
    }
}

#[async_trait]
impl Interceptor for CountingStore {
    fn inner(&self) -> &dyn LockStore {
        &self.store
    }

    async fn intercept(&self, request: Request) -> Result<Reply> {
        let operation = request.operation();
        self.note(operation, CallStage::Sent);
        tokio::time::sleep(self.latency).await;
        let reply = request.send_to(&self.store).await;
        self.note(operation, CallStage::Answered);
        match reply {
            Ok(Reply::Watch(hints)) => {
                let open = OpenWatch::new(self.open_watches.clone());
                Ok(Reply::Watch(Box::pin(hints.inspect(move |_| {
                    let _ = &open;
                }))))
            }
            reply => reply,
        }
    }
}
