//! A call that waits knows its position, and names it when it times out.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use leasehold_core::Position;
use tokio::time::sleep;

use crate::instance_store::InstanceStore;
use crate::{HOUR, SECOND, granted, queue, wait, wait_as};

#[tokio::test(start_paused = true)]
async fn a_waiting_call_is_told_each_new_position() {
    let store = InstanceStore::new();
    let held = store.client().fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let second = wait_as(&store.another()).await;
    let lock = store.another().client().fair_lock("a").unwrap();
    let positions = Arc::new(Mutex::new(Vec::new()));
    let told = positions.clone();
    let third = wait(async move {
        let tell = |position: Position| told.lock().unwrap().push(position.ahead);
        lock.acquire_with(HOUR, tell).await
    })
    .await;
    sleep(20 * SECOND).await;
    assert_eq!(*positions.lock().unwrap(), [2]);
    held.release().await.unwrap();
    let second = granted(second).await;
    // The hint names the second call. The third one learns it from its next heartbeat.
    sleep(4 * SECOND).await;
    assert_eq!(*positions.lock().unwrap(), [2, 1]);
    second.release().await.unwrap();
    granted(third).await.release().await.unwrap();
    assert_eq!(*positions.lock().unwrap(), [2, 1], "it holds the lock");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gets_the_lock_at_once_is_told_no_position() {
    let client = InstanceStore::new().client();
    let lock = client.fair_lock("a").unwrap();
    let guard = lock.acquire_with(HOUR, |position| panic!("{position:?}")).await.unwrap();
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_time_out_names_the_position_and_the_first_holder() {
    let store = InstanceStore::new();
    let client = store.client();
    let held = client.fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let held_by = format!("held by {}", client.holder());

    let waits = store.another().client();
    let first = {
        let lock = waits.fair_lock("a").unwrap();
        wait(async move { lock.acquire(10 * SECOND).await }).await
    };
    let second = {
        let lock = waits.fair_lock("a").unwrap();
        wait(async move { lock.acquire(5 * SECOND).await }).await
    };
    let error = second.await.unwrap().unwrap_err();
    let behind = "waiting behind 1 call of this client; the first: waiting behind 1 other; ";
    assert!(error.is_timed_out(), "{error}");
    assert!(error.to_string().contains(&format!("{behind}{held_by}")), "{error}");
    let error = first.await.unwrap().unwrap_err();
    let expected = format!("timed out after 10s: waiting behind 1 other; {held_by}");
    assert!(error.to_string().ends_with(&expected), "{error}");
    held.release().await.unwrap();
}

/// The first holder may be another one by then.
#[tokio::test(start_paused = true)]
async fn a_time_out_after_others_have_left_says_who_held_the_lock_at_first() {
    let store = InstanceStore::new();
    let held = store.client().fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let second = wait_as(&store.another()).await;
    let lock = store.another().client().fair_lock("a").unwrap();
    let third = wait(async move { lock.acquire(10 * SECOND).await }).await;
    held.release().await.unwrap();
    let second = granted(second).await;
    let error = third.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("waiting behind 1 other; held by "), "{error}");
    assert!(error.ends_with(" when the wait began"), "{error}");
    second.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_renewal_is_named_until_one_succeeds() {
    let store = InstanceStore::new();
    let held = store.client().fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    for (fails_for, part) in [(HOUR, "connection refused"), (5 * SECOND, "1 other")] {
        let waits = store.another();
        let lock = waits.client().fair_lock("a").unwrap();
        let waiting = wait(async move { lock.acquire(12 * SECOND).await }).await;
        waits.faults.renew_fails.store(true, SeqCst);
        let faults = waits.faults.clone();
        tokio::spawn(async move {
            sleep(fails_for).await;
            faults.renew_fails.store(false, SeqCst);
        });
        let error = waiting.await.unwrap().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    held.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_status_of_a_name_shows_the_entries_of_all_clients() {
    let store = InstanceStore::new();
    let client = store.client();
    let held = client.fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let waiting = wait_as(&store.another()).await;
    let queue = queue(&client).await;
    assert_eq!(queue.holders()[0].token, held.token());
    assert_eq!(queue.waiters().len(), 1);
    held.release().await.unwrap();
    let held = granted(waiting).await;
    assert_eq!(held.token(), queue.waiters()[0].token, "an entry keeps its token");
    held.release().await.unwrap();
}
