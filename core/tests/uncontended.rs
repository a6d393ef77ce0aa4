//! An uncontended lock costs two calls to the store, and no task, renewal or watch. One that is held
//! for longer is renewed and watched, still without a task of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/counting_store.rs"]
mod counting_store;

use std::time::Duration;

use counting_store::{CountingStore, LATENCY};
use leasehold_core::Guard;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn locks_one_after_the_other_cost_two_calls_each_and_no_task() {
    let store = CountingStore::new();
    let client = store.client();
    for number in 0..100 {
        let lock = client.lock(format!("job-{number}")).unwrap();
        let guard = match number % 2 {
            0 => lock.acquire(MINUTE).await.unwrap(),
            _ => lock.try_acquire().await.unwrap().unwrap(),
        };
        assert!(guard.is_held());
        let tasks = Handle::current().metrics().num_alive_tasks();
        assert_eq!(tasks, 1, "one task sends the heartbeats of all locks");
        guard.release().await.unwrap();
    }
    sleep(MINUTE).await;
    assert_eq!(store.calls(), [("acquire", 100), ("release", 100)]);
}

/// If the request were cut off, a release could overtake it.
#[tokio::test(start_paused = true)]
async fn a_dropped_acquire_runs_to_its_end_and_its_grant_is_released() {
    let store = CountingStore::new();
    let client = store.client();
    let lock = client.lock("a").unwrap();
    timeout(Duration::ZERO, lock.acquire(MINUTE)).await.unwrap_err();
    sleep(SECOND).await;
    let record = client.status("a").await.unwrap();
    assert!(record.token.is_some(), "the request was cut off: {record:?}");
    assert!(record.lease.is_none(), "nobody holds the lock: {record:?}");
    assert_eq!((store.count("acquire"), store.count("release")), (1, 1));
    drop(lock.acquire(MINUTE));
    sleep(SECOND).await;
    assert_eq!(store.count("acquire"), 1, "a call that was never polled sends nothing");
}

#[tokio::test(start_paused = true)]
async fn a_held_lock_is_renewed_when_it_is_due_and_watched_from_then_on() {
    let store = CountingStore::new();
    let guard = store.client().lock("a").unwrap().acquire(MINUTE).await.unwrap();
    // Heartbeats are 3 s apart.
    sleep(Duration::from_millis(2_900)).await;
    assert_eq!(store.calls(), [("acquire", 1)]);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(store.calls(), [("acquire", 1), ("renew", 1), ("watch", 1)]);
    sleep(3 * SECOND).await;
    assert_eq!(store.calls(), [("acquire", 1), ("renew", 2), ("watch", 1)]);
    assert!(guard.is_held());
}

/// Each held lock once had a task, which was woken for each renewal.
#[tokio::test(start_paused = true)]
async fn held_locks_are_renewed_without_a_task_for_each() {
    let store = CountingStore::new();
    let client = store.client();
    let mut guards = Vec::new();
    for number in 0..100 {
        let lock = client.lock(format!("job-{number}")).unwrap();
        guards.push(lock.acquire(MINUTE).await.unwrap());
    }
    sleep(MINUTE).await;
    assert!(guards.iter().all(Guard::is_held));
    let tasks = Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks, 2, "one task renews all locks, and one watches the store");
    drop(guards);
    sleep(MINUTE).await;
    assert_eq!((store.count("release"), store.open_watches()), (100, 0));
}

#[tokio::test(start_paused = true)]
async fn an_unused_watch_stays_open_for_a_while() {
    let holder = CountingStore::new();
    let _guard = holder.client().lock("a").unwrap().acquire(MINUTE).await.unwrap();
    let store = holder.another();
    let client = store.client();
    let lock = client.lock("a").unwrap();
    for _ in 0..3 {
        lock.acquire(SECOND).await.unwrap_err();
        assert_eq!((store.count("watch"), store.open_watches()), (1, 1));
        sleep(5 * SECOND).await;
    }
    sleep(6 * SECOND).await;
    assert_eq!(store.open_watches(), 0, "nobody needs it");
    lock.acquire(SECOND).await.unwrap_err();
    assert_eq!((store.count("watch"), store.open_watches()), (2, 1));
    drop((lock, client));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(store.open_watches(), 0, "it ends with its client");
}

/// The holder releases after the store has refused the waiter, and before the waiter watches.
#[tokio::test(start_paused = true)]
async fn a_release_between_the_refusal_and_the_watch_is_not_missed() {
    let holder = CountingStore::new();
    let guard = holder.client().lock("a").unwrap().acquire(MINUTE).await.unwrap();
    let store = holder.another();
    let lock = store.client().lock("a").unwrap();
    let waiting = tokio::spawn(async move {
        let guard = lock.acquire(MINUTE).await.unwrap();
        (guard, tokio::time::Instant::now())
    });
    // The store refuses the waiter after its latency, and opens the watch after twice that.
    sleep(LATENCY / 2).await;
    let released = tokio::time::Instant::now();
    guard.release().await.unwrap();
    let (guard, acquired) = waiting.await.unwrap();
    assert!(acquired - released < Duration::from_millis(100), "{:?}", acquired - released);
    guard.release().await.unwrap();
}
