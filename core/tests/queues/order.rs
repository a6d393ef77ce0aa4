//! Calls get the lock in the order of arrival, those of one client and those of many.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use leasehold_core::{FairLock, FencingToken};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::instance_store::{InstanceStore, LATENCY};
use crate::{HOUR, entries, granted, wait_as};

/// The calls note here who got the lock, in order, and under which token.
type Grants<T> = Arc<Mutex<Vec<(T, FencingToken)>>>;

/// Starts a task that acquires and releases the lock.
fn take_turn<T: Send + 'static>(lock: FairLock, who: T, grants: Grants<T>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let guard = lock.acquire(HOUR).await.unwrap();
        grants.lock().unwrap().push((who, guard.token()));
        sleep(LATENCY).await;
        guard.release().await.unwrap();
    })
}

#[tokio::test(start_paused = true)]
async fn clients_get_the_lock_in_the_order_of_arrival() {
    let store = InstanceStore::new();
    let held = store.client().fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let (grants, mut tasks) = (Grants::default(), Vec::new());
    for number in 0..5 {
        let lock = store.another().client().fair_lock("a").unwrap();
        tasks.push(take_turn(lock, number, grants.clone()));
        sleep(LATENCY * 10).await;
    }
    assert!(grants.lock().unwrap().is_empty(), "the lock is held");
    held.release().await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    let grants = grants.lock().unwrap();
    let numbers: Vec<_> = grants.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    assert!(grants.iter().map(|(_, token)| token).is_sorted(), "{grants:?}");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_tasks_of_one_client_have_one_entry_that_waits() {
    let store = InstanceStore::new();
    let client = store.client();
    let lock = client.fair_lock("a").unwrap();
    let held = lock.acquire(HOUR).await.unwrap();
    let (grants, mut tasks) = (Grants::default(), Vec::new());
    for number in 0..1000 {
        tasks.push(take_turn(lock.clone(), number, grants.clone()));
    }
    sleep(LATENCY * 10).await;
    assert_eq!(entries(&client).await, (1, 1));
    assert_eq!(store.count("enter"), 2);
    held.release().await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    let numbers: Vec<_> = grants.lock().unwrap().iter().map(|(number, _)| *number).collect();
    assert!(numbers.len() == 1000 && numbers.is_sorted(), "{numbers:?}");
    assert_eq!((store.count("enter"), store.count("leave")), (1001, 1001));
    assert_eq!(entries(&client).await, (0, 0));
}

/// However many tasks wait, each client has one entry that waits.
#[tokio::test(start_paused = true)]
async fn the_tasks_of_two_clients_alternate() {
    let store = InstanceStore::new();
    let held = store.client().fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let (grants, mut tasks) = (Grants::default(), Vec::new());
    for (client, name) in [(store.another().client(), "near"), (store.another().client(), "far")] {
        for _ in 0..5 {
            let lock = client.fair_lock("a").unwrap();
            tasks.push(take_turn(lock, name, grants.clone()));
        }
        sleep(LATENCY * 10).await;
    }
    held.release().await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    let names: Vec<_> = grants.lock().unwrap().iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["near", "far"].repeat(5));
}

#[tokio::test(start_paused = true)]
async fn an_uncontended_lock_costs_two_calls() {
    let store = InstanceStore::new();
    let lock = store.client().fair_lock("a").unwrap();
    for _ in 0..10 {
        lock.acquire(HOUR).await.unwrap().release().await.unwrap();
    }
    assert_eq!((store.count("enter"), store.count("leave")), (10, 10));
    assert_eq!((store.count("renew"), store.count("watch")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_try_does_not_queue() {
    let store = InstanceStore::new();
    let client = store.client();
    let lock = client.fair_lock("a").unwrap();
    let held = lock.try_acquire().await.unwrap().unwrap();
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert!(lock.acquire(Duration::ZERO).await.unwrap_err().is_timed_out());
    assert_eq!(entries(&client).await, (1, 0));
    let waiting = wait_as(&store.another()).await;
    held.release().await.unwrap();
    let held = granted(waiting).await;
    assert!(lock.try_acquire().await.unwrap().is_none());
    held.release().await.unwrap();
    lock.try_acquire().await.unwrap().unwrap().release().await.unwrap();
}
