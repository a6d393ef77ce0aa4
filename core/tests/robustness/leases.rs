//! These tests cover acquires, renewals and releases that fail, hang or get no reply.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use leasehold_core::intercept::{Interceptor, Reply, Request};
use leasehold_core::{
    Client, Error, ErrorKind, LockName, LockStore, MemoryStore, Result, Settings, TokioClock,
};

use super::faulty_store::FaultyStore;
use super::{client, ms, secs, waiting_job};

#[tokio::test(start_paused = true)]
async fn a_panicking_renew_fails_only_its_batch() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let c = client(&faulty, clock.clone(), Settings::new().heartbeat_retries(0));
    let slow = c
        .election("slow")
        .unwrap()
        .settings(&Settings::new().ttl(secs(600)).heartbeat_retries(0))
        .unwrap()
        .spawn(waiting_job());
    let fast = c.election("fast").unwrap().spawn(waiting_job());
    // The first heartbeat of the slow one is sent with that of the fast one, at 3 s.
    tokio::time::sleep(secs(4)).await;
    assert!(slow.status().is_leading() && fast.status().is_leading());
    faulty.state.renew_panics.store(true, SeqCst);
    // Only the fast one's heartbeat is sent, at 6 s; the slow one's may be sent from 63 s on.
    tokio::time::sleep(secs(3)).await;
    faulty.state.renew_panics.store(false, SeqCst);
    println!("terms {} {} {:?}", fast.status().terms, slow.status().terms, fast.status().error);
    println!("fast {:?} slow {:?}", fast.status().role, slow.status().role);
    assert_eq!(slow.status().terms, 1, "a lease whose heartbeat was not in the batch stepped down");
}

/// The label of this store panics once when a test says so, or after a renewal has failed, because
/// the error names it. That is outside of the store's own calls.
#[derive(Debug)]
struct PanickingLabel {
    store: MemoryStore,
    renewal_fails: AtomicBool,
    panics: AtomicBool,
}

impl PanickingLabel {
    fn new(renewal_fails: bool) -> (Arc<Self>, Client) {
        let clock = Arc::new(TokioClock::new());
        let store = Arc::new(Self {
            store: MemoryStore::with_clock(clock.clone()),
            renewal_fails: AtomicBool::new(renewal_fails),
            panics: AtomicBool::new(false),
        });
        let builder = Client::builder(store.clone()).clock(clock).seed(1);
        (store, builder.build().unwrap())
    }
}

#[async_trait]
impl Interceptor for PanickingLabel {
    fn inner(&self) -> &dyn LockStore {
        &self.store
    }

    fn store_label(&self) -> &str {
        assert!(!self.panics.swap(false, SeqCst), "label");
        "memory:"
    }

    async fn intercept(&self, request: Request) -> Result<Reply> {
        if matches!(request, Request::Renew(_)) && self.renewal_fails.swap(false, SeqCst) {
            tokio::time::sleep(secs(1)).await;
            self.panics.store(true, SeqCst);
            return Err(Error::new(ErrorKind::Unavailable, "connection refused"));
        }
        request.send_to(&self.store).await
    }
}

/// The second lock waits for its first heartbeat while that of the first lock panics.
#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_panics_costs_no_other_lock() {
    let (store, c) = PanickingLabel::new(true);
    let first = c.lock("first").unwrap().try_acquire().await.unwrap().unwrap();
    // The heartbeat of the first lock is sent at 3 s, and panics at 4 s.
    tokio::time::sleep(ms(3_500)).await;
    assert!(!store.renewal_fails.load(SeqCst), "no heartbeat was sent");
    let second = c.lock("second").unwrap().try_acquire().await.unwrap().unwrap();
    tokio::time::sleep(secs(60)).await;
    assert!(second.is_held(), "the other lock was lost");
    assert!(first.is_held());
}

#[tokio::test(start_paused = true)]
async fn an_acquire_that_panics_is_tried_again() {
    let (store, c) = PanickingLabel::new(false);
    store.panics.store(true, SeqCst);
    let guard = c.lock("a").unwrap().acquire(secs(60)).await.unwrap();
    assert!(!store.panics.load(SeqCst), "the acquire did not panic");
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_grant_is_released_after_a_disable() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let c = client(&faulty, clock.clone(), Settings::new());
    faulty.state.acquire_loses_reply.store(true, SeqCst);
    let lock = c.lock("a").unwrap();
    let waiting = tokio::spawn({
        let lock = lock.clone();
        async move { lock.acquire(secs(4)).await.map(drop) }
    });
    tokio::time::sleep(ms(500)).await;
    c.disable("a", "why").await.unwrap();
    faulty.state.acquire_loses_reply.store(false, SeqCst);
    println!("{:?}", waiting.await.unwrap());
    c.enable("a").await.unwrap();
    tokio::time::sleep(secs(1)).await;
    let record = c.status("a").await.unwrap();
    assert!(
        record.lease.is_none(),
        "the lock has no holder, but stays held for another {:?}",
        record.lease.unwrap().left
    );
}
#[tokio::test]
async fn acquire_without_time_tries_once() {
    let c = Client::new(MemoryStore::new()).unwrap();
    let got = c.lock("a").unwrap().acquire(Duration::ZERO).await;
    let err = got.as_ref().err().map(ToString::to_string);
    drop(got);
    tokio::time::sleep(ms(50)).await;
    println!("{err:?}; token in the store: {:?}", c.status("a").await.unwrap().token);
    assert!(err.is_none(), "a free lock was not acquired: {err:?}");
}
/// The model checker found this: an instance must not block itself.
#[tokio::test(start_paused = true)]
async fn a_lock_refused_after_an_unknown_attempt_keeps_its_lease_id() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let lock = client(&faulty, clock.clone(), Settings::new()).lock("a").unwrap();
    faulty.state.acquire_loses_reply.store(true, SeqCst);
    let waiting = tokio::spawn(async move { lock.acquire(secs(60)).await.map(drop) });
    tokio::time::sleep(ms(10)).await;
    // The first request gets no reply, and another lease blocks the second.
    let name = LockName::new("a").unwrap();
    let first = faulty.state.acquire_ids.lock().unwrap()[0];
    faulty.inner.release(&name, first).await.unwrap();
    let other = client(&faulty, clock, Settings::new()).lock("a").unwrap();
    faulty.state.acquire_loses_reply.store(false, SeqCst);
    let guard = other.acquire(Duration::ZERO).await.unwrap();
    tokio::time::sleep(secs(20)).await;
    guard.release().await.unwrap();
    waiting.await.unwrap().unwrap();
    // The first request might have arrived in the meantime, and its lease would block a new id.
    let attempted = faulty.state.acquire_ids.lock().unwrap();
    let own: Vec<_> = attempted.iter().filter(|id| **id == first).collect();
    assert_eq!(own.len() + 1, attempted.len(), "{attempted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_or_dropped_release_is_retried_in_the_background() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let c = client(&faulty, clock, Settings::new());
    let lock = c.lock("a").unwrap();
    let is_free = async || c.status("a").await.unwrap().lease.is_none();

    let guard = lock.acquire(secs(1)).await.unwrap();
    faulty.state.release_panics.store(true, SeqCst);
    assert!(guard.release().await.is_err());
    faulty.state.release_panics.store(false, SeqCst);
    tokio::time::sleep(secs(1)).await;
    assert!(is_free().await, "the release is not retried");

    let guard = lock.acquire(secs(1)).await.unwrap();
    faulty.state.all_hang.store(true, SeqCst);
    assert!(guard.release().now_or_never().is_none());
    faulty.state.all_hang.store(false, SeqCst);
    tokio::time::sleep(secs(1)).await;
    assert!(is_free().await, "the release was dropped and not retried");
}

/// A lease from before the disable is ending; if it counted as a grant, it would be lost at once.
#[tokio::test(start_paused = true)]
async fn an_unconfirmed_lock_grant_before_a_disable_is_not_used() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let c = client(&faulty, clock, Settings::new());
    let lock = c.lock("a").unwrap();
    faulty.state.acquire_loses_reply.store(true, SeqCst);
    let waiting = tokio::spawn(async move { lock.acquire(secs(60)).await });
    tokio::time::sleep(ms(10)).await;
    c.disable("a", "why").await.unwrap();
    faulty.state.acquire_loses_reply.store(false, SeqCst);
    let asked = || faulty.state.acquire_ids.lock().unwrap().len();
    let before = asked();
    while asked() == before {
        tokio::time::sleep(ms(1)).await;
    }
    c.enable("a").await.unwrap();
    let guard = waiting.await.unwrap().unwrap();
    let lost = tokio::time::timeout(secs(60), guard.lost()).await;
    assert!(lost.is_err(), "an ending lease counted as a grant: {lost:?}");
}

/// The heartbeat and the watch of a client have the leases of its guards, which have the client.
#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_a_client_and_its_locks_in_whatever_order_they_are_dropped() {
    for (guard_first, hangs) in [(true, false), (false, false), (true, true), (false, true)] {
        let clock = Arc::new(TokioClock::new());
        let faulty = FaultyStore::new(clock.clone());
        let state = Arc::downgrade(&faulty.state);
        let c = client(&faulty, clock, Settings::new());
        drop(faulty);
        let guard = c.lock("a").unwrap().acquire(secs(1)).await.unwrap();
        tokio::time::sleep(secs(4)).await;
        let renews = || state.upgrade().map(|state| state.renews.load(SeqCst));
        assert_eq!(renews(), Some(1));
        state.upgrade().unwrap().all_hang.store(hangs, SeqCst);
        tokio::time::sleep(secs(3)).await;
        assert_eq!(renews(), Some(2), "a renewal is in progress if the store hangs");
        if guard_first {
            drop(guard);
            drop(c);
        } else {
            drop(c);
            drop(guard);
        }
        // A release that hangs is given up before that.
        tokio::time::sleep(secs(30)).await;
        assert_eq!(state.strong_count(), 0, "guard first: {guard_first}, hangs: {hangs}");
    }
}
