//! Tasks are served in order, each by one release and one acquire.

use std::sync::{Arc, Mutex};

use tokio::time::{Instant, sleep};

use crate::counting_store::{CallStage, CountingStore, LATENCY};
use crate::{HOUR, SECOND, wait};

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
