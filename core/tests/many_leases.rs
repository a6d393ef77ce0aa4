//! Many leases are kept at a store that serves one batch of renewals after the other, on paused
//! time.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::intercept::{Interceptor, Reply, Request};
use leasehold_core::{Client, Guard, LeaseId, LockStore, MemoryStore, Result, TokioClock};
use tokio::time::sleep;

/// This store serves one batch of renewals at a time, as one connection does.
#[derive(Debug)]
struct OneConnection {
    store: MemoryStore,
    latency: Duration,
    connection: tokio::sync::Mutex<()>,
    calls: AtomicUsize,
    /// These leases are being renewed.
    in_progress: Mutex<HashSet<LeaseId>>,
    /// This counts the leases that were renewed while an earlier renewal had no reply.
    repeated: AtomicUsize,
}

impl OneConnection {
    /// Returns the store with that latency, and a client with that many locks.
    async fn with_locks(latency: u64, locks: usize) -> (Arc<Self>, Vec<Guard>) {
        let clock = Arc::new(TokioClock::new());
        let store = Arc::new(Self {
            store: MemoryStore::with_clock(clock.clone()),
            latency: Duration::from_millis(latency),
            connection: tokio::sync::Mutex::default(),
            calls: AtomicUsize::new(0),
            in_progress: Mutex::default(),
            repeated: AtomicUsize::new(0),
        });
        let client = Client::builder(store.clone()).clock(clock).seed(1).build().unwrap();
        let mut guards = Vec::new();
        for number in 0..locks {
            let lock = client.lock(format!("job-{number}")).unwrap();
            guards.push(lock.try_acquire().await.unwrap().unwrap());
        }
        (store, guards)
    }
}

#[async_trait]
impl Interceptor for OneConnection {
    fn inner(&self) -> &dyn LockStore {
        &self.store
    }

    async fn intercept(&self, request: Request) -> Result<Reply> {
        let Request::Renew(leases) = &request else { return request.send_to(&self.store).await };
        let leases: Vec<_> = leases.iter().map(|renewal| renewal.lease).collect();
        self.calls.fetch_add(1, SeqCst);
        for lease in &leases {
            if !self.in_progress.lock().unwrap().insert(*lease) {
                self.repeated.fetch_add(1, SeqCst);
            }
        }
        let connection = self.connection.lock().await;
        sleep(self.latency).await;
        drop(connection);
        let reply = request.send_to(&self.store).await;
        for lease in &leases {
            self.in_progress.lock().unwrap().remove(lease);
        }
        reply
    }
}

/// A beat of ten batches takes 4 s, and heartbeats are 3 s apart.
#[tokio::test(start_paused = true)]
async fn leases_are_kept_and_renewed_once_at_a_store_that_is_too_slow_for_their_interval() {
    let (store, guards) = OneConnection::with_locks(400, 10_000).await;
    sleep(Duration::from_secs(30)).await;
    let lost = guards.iter().filter(|guard| !guard.is_held()).count();
    assert_eq!(lost, 0, "locks were lost");
    assert_eq!(store.repeated.load(SeqCst), 0, "leases were renewed again before the reply");
}

#[tokio::test(start_paused = true)]
async fn a_beat_costs_a_call_for_each_full_batch() {
    let (store, guards) = OneConnection::with_locks(10, 3_000).await;
    // Heartbeats are 3 s apart, and the store renews a thousand leases in one call.
    sleep(Duration::from_secs(31)).await;
    let calls = store.calls.load(SeqCst);
    assert!((30..=36).contains(&calls), "{calls} calls in ten beats of three batches");
    assert!(guards.iter().all(Guard::is_held));
}
