//! Waiters go on when the store fails, and when a guard of their client loses the lock.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use leasehold_core::{Client, LockStore, LossReason, TokioClock};
use tokio::time::{sleep, timeout};

use crate::counting_store::CountingStore;
use crate::faulty_store::FaultyStore;
use crate::{HOUR, SECOND, wait};

fn faulty() -> (FaultyStore, Client) {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let builder = Client::builder(Arc::new(faulty.clone())).clock(clock).seed(1);
    (faulty, builder.build().unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_first_waiter_is_shared() {
    let (faulty, client) = faulty();
    faulty.state.all_fail.store(true, SeqCst);
    let lock = client.lock("a").unwrap();
    let first = wait(&lock, HOUR).await;
    let asked = faulty.state.acquires.load(SeqCst);
    let error = lock.acquire(Duration::from_millis(1)).await.unwrap_err();
    assert!(error.is_timed_out() && error.to_string().contains("refused"), "{error}");
    assert_eq!(faulty.state.acquires.load(SeqCst), asked);
    first.abort();
}

#[tokio::test(start_paused = true)]
async fn the_lock_is_handed_over_after_a_release_that_failed() {
    let (faulty, client) = faulty();
    let lock = client.lock("a").unwrap();
    let guard = lock.acquire(HOUR).await.unwrap();
    let next = wait(&lock, HOUR).await;
    faulty.state.release_panics.store(true, SeqCst);
    guard.release().await.unwrap_err();
    faulty.state.release_panics.store(false, SeqCst);
    // The release is tried again in the background.
    let guard = timeout(SECOND, next).await.unwrap().unwrap().unwrap();
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn waiters_go_on_when_a_release_hangs_or_the_lease_is_lost() {
    for hangs in [true, false] {
        let (faulty, client) = faulty();
        let lock = client.lock("a").unwrap();
        let guard = lock.acquire(HOUR).await.unwrap();
        let next = wait(&lock, HOUR).await;
        let kept = if hangs {
            faulty.state.all_hang.store(true, SeqCst);
            guard.release_within(SECOND).await.unwrap_err();
            sleep(20 * SECOND).await;
            faulty.state.all_hang.store(false, SeqCst);
            None
        } else {
            faulty.state.renew_fails.store(true, SeqCst);
            assert_eq!(guard.lost().await, LossReason::Expired);
            faulty.state.renew_fails.store(false, SeqCst);
            Some(guard)
        };
        let next = timeout(30 * SECOND, next).await.unwrap().unwrap().unwrap();
        assert!(next.is_held(), "hangs: {hangs}");
        // The lost guard does not disturb its successor.
        drop(kept);
        sleep(SECOND).await;
        assert!(next.is_held() && lock.try_acquire().await.unwrap().is_none(), "hangs: {hangs}");
        next.release().await.unwrap();
    }
}

/// The store refused the waiter a moment ago, and no hint wakes it: its next poll is later.
#[tokio::test(start_paused = true)]
async fn a_refused_waiter_asks_again_when_a_guard_of_its_client_has_lost_the_lock() {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let [other, lock] = [(); 2].map(|()| {
        let builder = Client::builder(Arc::new(faulty.clone())).clock(clock.clone());
        builder.hints(false).seed(1).build().unwrap().lock("a").unwrap()
    });
    let held_elsewhere = other.acquire(HOUR).await.unwrap();
    let waiting = wait(&lock, HOUR).await;
    held_elsewhere.release().await.unwrap();
    let guard = lock.try_acquire().await.unwrap().unwrap();
    let lease = *faulty.state.acquire_ids.lock().unwrap().last().unwrap();
    faulty.inner.release(guard.name(), lease).await.unwrap();
    // The guard learns it from its first heartbeat after 3 s; the waiter polls every 5 s.
    assert_eq!(guard.lost().await, LossReason::Gone);
    let next = timeout(SECOND, waiting).await.unwrap().unwrap().unwrap();
    next.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_waiter_waits_on_while_the_lock_is_disabled() {
    let store = CountingStore::new();
    let client = store.client();
    let lock = client.lock("a").unwrap();
    let guard = lock.acquire(HOUR).await.unwrap();
    let next = wait(&lock, HOUR).await;
    client.disable("a", "upgrade").await.unwrap();
    guard.lost().await;
    sleep(SECOND).await;
    let error = lock.acquire(SECOND).await.unwrap_err();
    assert!(error.to_string().contains("upgrade"), "{error}");
    guard.release().await.unwrap();
    client.enable("a").await.unwrap();
    let guard = timeout(SECOND, next).await.unwrap().unwrap().unwrap();
    guard.release().await.unwrap();
}
