//! A call that is dropped, or gives up, leaves nothing behind.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::instance_store::{InstanceStore, LATENCY};
use crate::{HOUR, SECOND, entries, granted, wait};

/// The call is cut off at each millisecond: while it enters the queue, subscribes, waits, is renewed
/// and gets the lock, which is free after 50 ms.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_at_any_moment_leaves_no_entry() {
    let mut grants = 0;
    for cut_off in (0..80).map(Duration::from_millis) {
        let store = InstanceStore::new();
        let client = store.client();
        let held = client.fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
        let releasing = tokio::spawn(async move {
            sleep(LATENCY * 4).await;
            held.release().await.unwrap();
        });
        let lock = store.another().client().fair_lock("a").unwrap();
        let call = timeout(cut_off, lock.acquire(HOUR)).await;
        let guard = call.ok().map(Result::unwrap);
        releasing.await.unwrap();
        sleep(SECOND).await;
        let expected = if guard.is_some() { (1, 0) } else { (0, 0) };
        assert_eq!(entries(&client).await, expected, "cut off after {cut_off:?}");
        grants += usize::from(guard.is_some());
        drop(guard);
        sleep(SECOND).await;
        assert_eq!(entries(&client).await, (0, 0), "cut off after {cut_off:?}");
    }
    assert!((6..40).contains(&grants), "{grants} calls got the lock");
}

#[tokio::test(start_paused = true)]
async fn a_try_that_is_dropped_at_any_moment_leaves_no_entry() {
    for cut_off in (0..15).map(Duration::from_millis) {
        let store = InstanceStore::new();
        let client = store.client();
        let lock = store.another().client().rw_lock("a").unwrap();
        drop(timeout(cut_off, lock.try_write()).await);
        sleep(SECOND).await;
        assert_eq!(entries(&client).await, (0, 0), "cut off after {cut_off:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_times_out_leaves_the_queue() {
    let store = InstanceStore::new();
    let client = store.client();
    let held = client.fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let waits = store.another();
    let lock = waits.client().fair_lock("a").unwrap();
    lock.acquire(SECOND).await.unwrap_err();
    sleep(LATENCY * 5).await;
    assert_eq!(entries(&client).await, (1, 0));
    assert_eq!(waits.count("leave"), 1);
    held.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_lets_the_next_one_of_its_client_enter() {
    let store = InstanceStore::new();
    let client = store.client();
    let held = client.fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let waits = store.another();
    let lock = waits.client().fair_lock("a").unwrap();
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let lock = lock.clone();
        tasks.push(wait(async move { lock.acquire(HOUR).await }).await);
    }
    assert_eq!((entries(&client).await, waits.count("enter")), ((1, 1), 1));
    // One waits in the client, and the other in the store.
    tasks.remove(1).abort();
    tasks.remove(0).abort();
    sleep(LATENCY * 10).await;
    assert_eq!(entries(&client).await, (1, 1));
    assert_eq!((waits.count("enter"), waits.count("leave")), (2, 1));
    held.release().await.unwrap();
    granted(tasks.remove(0)).await.release().await.unwrap();
}
