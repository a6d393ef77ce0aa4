//! The tasks of one client that wait for the same lock are served in order, with few calls.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/counting_store.rs"]
mod counting_store;
#[path = "support/faulty_store.rs"]
mod faulty_store;

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use counting_store::{CallStage, CountingStore, LATENCY};
use faulty_store::FaultyStore;
use leasehold_core::{Client, Guard, Lock, LockStore, LossReason, Result, TokioClock};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Starts a task that waits for the lock, and lets it begin.
async fn wait(lock: &Lock, limit: Duration) -> JoinHandle<Result<Guard>> {
    let lock = lock.clone();
    let waiting = tokio::spawn(async move { lock.acquire(limit).await });
    sleep(LATENCY * 10).await;
    waiting
}

fn faulty() -> (FaultyStore, Client) {
    let clock = Arc::new(TokioClock::new());
    let faulty = FaultyStore::new(clock.clone());
    let builder = Client::builder(Arc::new(faulty.clone())).clock(clock).seed(1);
    (faulty, builder.build().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_thousand_waiters_of_one_client_cost_two_calls_each() {
    let store = CountingStore::new();
    let lock = store.client().lock("a").unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..1000 {
        let (lock, order) = (lock.clone(), order.clone());
        tasks.push(tokio::spawn(async move {
            let guard = lock.acquire(HOUR).await.unwrap();
            order.lock().unwrap().push(number);
            sleep(LATENCY).await;
            guard.release().await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.calls(), [("acquire", 1000), ("release", 1000)]);
    assert!(order.lock().unwrap().is_sorted(), "first come, first served");
}

#[tokio::test(start_paused = true)]
async fn tasks_in_a_loop_get_equal_shares() {
    let store = CountingStore::new();
    let lock = store.client().lock("a").unwrap();
    let grants = Arc::new(Mutex::new([0_u32; 10]));
    for task in 0..10 {
        let (lock, grants) = (lock.clone(), grants.clone());
        tokio::spawn(async move {
            loop {
                let guard = lock.acquire(HOUR).await.unwrap();
                grants.lock().unwrap()[task] += 1;
                guard.release().await.unwrap();
            }
        });
    }
    sleep(100 * SECOND).await;
    let grants = *grants.lock().unwrap();
    let (least, most) = (grants.iter().min().unwrap(), grants.iter().max().unwrap());
    assert!(*least > 100 && most - least <= 1, "{grants:?}");
}

/// The tasks of one client hand the lock over before the hint reaches the other client.
#[tokio::test(start_paused = true)]
async fn a_client_whose_tasks_always_wait_does_not_starve_another_client() {
    let near = CountingStore::new();
    let far = near.another().with_latency(LATENCY * 5 / 2);
    let grants = Arc::new(Mutex::new([0_u32; 2]));
    for (number, store) in [near, far].into_iter().enumerate() {
        let lock = store.client().lock("a").unwrap();
        for _ in 0..3 {
            let (lock, grants) = (lock.clone(), grants.clone());
            tokio::spawn(async move {
                loop {
                    let guard = lock.acquire(HOUR).await.unwrap();
                    grants.lock().unwrap()[number] += 1;
                    sleep(LATENCY * 5).await;
                    guard.release().await.unwrap();
                }
            });
        }
    }
    sleep(100 * SECOND).await;
    let [near, far] = *grants.lock().unwrap();
    assert!(far * 20 > near, "{near} and {far} grants");
}

#[tokio::test(start_paused = true)]
async fn the_next_waiter_asks_at_once_when_the_release_was_answered() {
    use CallStage::{Answered, Sent};

    for ends in ["release", "drop"] {
        let store = CountingStore::new();
        let lock = store.client().lock("a").unwrap();
        let guard = lock.acquire(HOUR).await.unwrap();
        let next = wait(&lock, HOUR).await;
        sleep(SECOND).await;
        let from = Instant::now();
        match ends {
            "release" => guard.release().await.unwrap(),
            _ => drop(guard),
        }
        let guard = next.await.unwrap().unwrap();
        assert_eq!(from.elapsed(), 2 * LATENCY, "{ends}");
        let calls = ["acquire", "release", "acquire"];
        let log = calls.map(|call| [(call, Sent), (call, Answered)]).concat();
        assert_eq!(store.log(), log, "{ends}");
        guard.release().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_lets_the_next_one_ask() {
    let holder = CountingStore::new();
    let guard = holder.client().lock("a").unwrap().acquire(HOUR).await.unwrap();
    let store = holder.another();
    let lock = store.client().lock("a").unwrap();
    let gives_up = wait(&lock, SECOND).await;
    let dropped = wait(&lock, HOUR).await;
    let third = wait(&lock, HOUR).await;
    // The watch opens after the refusal, so the first waiter asks twice.
    assert_eq!(store.count("acquire"), 2);
    let error = gives_up.await.unwrap().unwrap_err();
    assert!(error.is_timed_out(), "{error}");
    sleep(LATENCY * 10).await;
    assert_eq!(store.count("acquire"), 3, "the second waiter asks in turn");
    dropped.abort();
    sleep(LATENCY * 10).await;
    assert_eq!(store.count("acquire"), 4, "the third waiter asks in turn");
    let from = Instant::now();
    guard.release().await.unwrap();
    let guard = third.await.unwrap().unwrap();
    assert!(from.elapsed() < LATENCY * 10, "it is woken by the hint");
    guard.release().await.unwrap();
    assert_eq!(store.count("acquire"), 5);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_never_asked_names_the_holder() {
    let holder = CountingStore::new();
    let client = holder.client();
    let guard = client.lock("a").unwrap().acquire(HOUR).await.unwrap();
    let held_by = format!("held by {}", client.holder());

    let lock = holder.another().client().lock("a").unwrap();
    let first = wait(&lock, HOUR).await;
    let error = lock.acquire(SECOND).await.unwrap_err();
    assert!(error.is_timed_out() && error.to_string().contains(&held_by), "{error}");
    first.abort();

    let before = holder.calls();
    let error = client.lock("a").unwrap().acquire(SECOND).await.unwrap_err();
    assert!(error.is_timed_out() && error.to_string().contains(&held_by), "{error}");
    assert_eq!(holder.calls(), before, "the store is not asked about a lock that is held here");
    guard.release().await.unwrap();
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

#[tokio::test(start_paused = true)]
async fn try_acquire_asks_the_store_and_hands_over_as_any_other_guard() {
    let store = CountingStore::new();
    let lock = store.client().lock("a").unwrap();
    let guard = lock.try_acquire().await.unwrap().unwrap();
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert_eq!(store.count("acquire"), 2);
    let next = wait(&lock, HOUR).await;
    assert!(lock.try_acquire().await.unwrap().is_none());
    let from = Instant::now();
    guard.release().await.unwrap();
    let guard = next.await.unwrap().unwrap();
    assert_eq!(from.elapsed(), 2 * LATENCY);
    guard.release().await.unwrap();
    assert_eq!(store.count("watch"), 0, "no hint was needed");
}

/// The call that was dropped is granted the lock and releases it.
#[tokio::test(start_paused = true)]
async fn the_next_waiter_follows_a_dropped_call_at_once() {
    let store = CountingStore::new();
    let lock = store.client().lock("a").unwrap();
    let first = lock.clone();
    let dropped = tokio::spawn(async move { first.acquire(HOUR).await.map(drop) });
    let second = lock.clone();
    let next = tokio::spawn(async move { second.acquire(HOUR).await });
    sleep(LATENCY / 2).await;
    dropped.abort();
    let from = Instant::now();
    let guard = next.await.unwrap().unwrap();
    assert!(from.elapsed() < LATENCY * 10, "{:?}", from.elapsed());
    guard.release().await.unwrap();
}
