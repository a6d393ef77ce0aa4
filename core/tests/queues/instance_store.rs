//! This store is one instance's access to a memory store. It counts its calls, answers each after
//! some time, and can be disturbed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::ready;
use leasehold_core::intercept::{Interceptor, Reply, Request};
use leasehold_core::{
    Client, Clock, Error, ErrorKind, Hint, LockStore, MemoryStore, Result, TokioClock,
};
use tokio::time::sleep;

/// Each call takes this time.
pub(crate) const LATENCY: Duration = Duration::from_millis(10);

#[derive(Clone, Debug)]
pub(crate) struct InstanceStore {
    clock: Arc<dyn Clock>,
    pub(crate) store: MemoryStore,
    pub(crate) faults: Arc<Faults>,
    calls: Arc<Mutex<Vec<&'static str>>>,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Renewals fail while this is true.
    pub(crate) renew_fails: AtomicBool,
    /// The replies to attempts to enter a queue are lost while this is true.
    pub(crate) enter_loses_reply: AtomicBool,
    /// The replies to renewals are late by so many milliseconds.
    pub(crate) renewed_late_by: AtomicU64,
    /// Hints about entries are lost while this is true.
    pub(crate) loses_hints: AtomicBool,
}

impl InstanceStore {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(TokioClock::new());
        let store = MemoryStore::with_clock(clock.clone());
        Self { clock, store, faults: Arc::default(), calls: Arc::default() }
    }

    /// Returns the access of another instance to the same store.
    pub(crate) fn another(&self) -> Self {
        Self { faults: Arc::default(), calls: Arc::default(), ..self.clone() }
    }

    pub(crate) fn client(&self) -> Client {
        let builder = Client::builder(Arc::new(self.clone())).clock(self.clock.clone());
        builder.seed(1).build().unwrap()
    }

    /// Returns how often that operation was called.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| **call == operation).count()
    }
}

#[async_trait]
impl Interceptor for InstanceStore {
    fn inner(&self) -> &dyn LockStore {
        &self.store
    }

    async fn intercept(&self, request: Request) -> Result<Reply> {
        let operation = request.operation();
        self.calls.lock().unwrap().push(operation);
        sleep(LATENCY).await;
        if operation == "renew" && self.faults.renew_fails.load(SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "connection refused"));
        }
        match request.send_to(&self.store).await {
            Ok(Reply::Watch(hints)) => {
                let faults = self.faults.clone();
                let is_kept = move |hint: &Hint| {
                    let is_lost = faults.loses_hints.load(SeqCst);
                    ready(!is_lost || !matches!(hint, Hint::Entries(..)))
                };
                Ok(Reply::Watch(Box::pin(hints.filter(is_kept))))
            }
            Ok(Reply::Renew(outcomes)) => {
                let late = self.faults.renewed_late_by.load(SeqCst);
                if late > 0 {
                    sleep(Duration::from_millis(late)).await;
                }
                Ok(Reply::Renew(outcomes))
            }
            Ok(Reply::Enter(_)) if self.faults.enter_loses_reply.load(SeqCst) => {
                Err(Error::new(ErrorKind::OutcomeUnknown, "the reply was lost"))
            }
            reply => reply,
        }
    }
}
