//! These tests cover the metrics of locks that have a queue.

use std::time::Duration;

use tokio::time::sleep;

use super::{HEARTBEAT_INTERVAL, Harness, SETTLE_TIME, TTL, changes};

#[tokio::test(start_paused = true)]
async fn a_lock_with_a_queue_is_measured_by_its_kind() {
    let harness = Harness::new();
    let lock = harness.client().fair_lock("a").unwrap();
    let guard = lock.acquire(TTL).await.unwrap();
    let held =
        changes([("locks_held", 1.0), ("queue_wait_seconds{kind=fair,outcome=acquired}", 1.0)]);
    assert_eq!(harness.take_changes(), held);
    // A single try is not a wait.
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert_eq!(harness.take_changes(), []);

    let waiting = {
        let lock = harness.client().fair_lock("a").unwrap();
        tokio::spawn(async move { lock.acquire(TTL * 4).await })
    };
    sleep(HEARTBEAT_INTERVAL * 2 + SETTLE_TIME).await;
    assert_eq!(harness.recorder.value("acquires_waiting"), Some(1.0));
    assert_eq!(harness.recorder.recorded("queue_entries_ahead{kind=fair}"), [1.0]);
    let queued = harness.recorder.value("renewals_total{outcome=queued}").unwrap();
    assert!(queued >= 2.0, "{queued} renewals of the waiting entry");
    guard.release().await.unwrap();
    waiting.await.unwrap().unwrap().release().await.unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.recorder.value("acquires_waiting"), Some(0.0));
    let waits = harness.recorder.recorded("queue_wait_seconds{kind=fair,outcome=acquired}");
    assert!(waits.len() == 2 && waits[1] > waits[0], "{waits:?}");
    assert_eq!(harness.recorder.recorded("acquire_wait_seconds{outcome=acquired}"), []);

    let lock = harness.client().semaphore("b", 1).unwrap();
    let guard = lock.acquire(TTL).await.unwrap();
    lock.acquire(Duration::from_secs(2)).await.unwrap_err();
    let waits = harness.recorder.recorded("queue_wait_seconds{kind=semaphore,outcome=timed_out}");
    assert_eq!(waits, [2.0]);
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_an_outcome_of_its_own() {
    let harness = Harness::new();
    let client = harness.client();
    let guard = client.fair_lock("a").unwrap().acquire(TTL).await.unwrap();
    client.rw_lock("a").unwrap().read(TTL).await.unwrap_err();
    let calls = harness.calls();
    assert!(calls.contains(&("enter conflict".to_owned(), 1.0)), "{calls:?}");
    guard.release().await.unwrap();
}
