//! These tests cover the metrics of locks.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{HEARTBEAT_INTERVAL, Harness, SETTLE_TIME, TTL, changes};

#[tokio::test(start_paused = true)]
async fn a_guard_is_measured_from_acquire_to_release() {
    let harness = Harness::new();
    let lock = harness.client().lock("a").unwrap();
    let guard = lock.acquire(TTL).await.unwrap();
    let held = changes([("acquire_wait_seconds{outcome=acquired}", 1.0), ("locks_held", 1.0)]);
    assert_eq!(harness.take_changes(), held);
    sleep(HEARTBEAT_INTERVAL + SETTLE_TIME).await;
    let renewed = changes([
        ("renewal_time_to_deadline_seconds", 1.0),
        ("renewals_total{outcome=extended}", 1.0),
    ]);
    assert_eq!(harness.take_changes(), renewed);
    guard.release().await.unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.take_changes(), changes([("locks_held", 0.0)]));
    // A single try is not a wait.
    let guard = lock.try_acquire().await.unwrap().unwrap();
    assert_eq!(harness.take_changes(), changes([("locks_held", 1.0)]));
    drop(guard);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.take_changes(), changes([("locks_held", 0.0)]));
}

#[tokio::test(start_paused = true)]
async fn lost_guards_are_counted_by_reason() {
    let harness = Harness::new();
    let gone = harness.held().await;
    harness.release_held_lease().await;
    gone.lost().await;
    let lost = changes([
        ("locks_held", 0.0),
        ("locks_lost_total{reason=gone}", 1.0),
        ("renewals_total{outcome=lost}", 1.0),
    ]);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.take_changes(), lost);
    drop(gone);

    let disabled = harness.held().await;
    harness.client().disable("a", "upgrade").await.unwrap();
    disabled.lost().await;
    let lost = changes([
        ("locks_held", 0.0),
        ("locks_lost_total{reason=disabled}", 1.0),
        ("renewals_total{outcome=disabled}", 1.0),
    ]);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.take_changes(), lost);
    disabled.release().await.unwrap();
    harness.client().enable("a").await.unwrap();

    let expired = harness.held().await;
    harness.store.state.renew_fails.store(true, SeqCst);
    expired.lost().await;
    sleep(Duration::from_millis(1)).await;
    let lost = harness.take_changes();
    assert!(lost.contains(&("locks_lost_total{reason=expired}".to_owned(), 1.0)), "{lost:?}");
    assert!(lost.contains(&("locks_held".to_owned(), 0.0)), "{lost:?}");
    assert!(lost.iter().any(|(key, _)| key == "renewals_total{outcome=failed}"), "{lost:?}");
    assert_eq!(lost.len(), 3, "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn waits_are_counted_by_outcome() {
    let harness = Harness::new();
    let guard = harness.held().await;
    let lock = harness.client().lock("a").unwrap();
    let waiting = {
        let lock = lock.clone();
        tokio::spawn(async move { lock.acquire(TTL * 4).await })
    };
    sleep(Duration::from_secs(1)).await;
    assert_eq!(harness.take_changes(), changes([("acquires_waiting", 1.0)]));
    guard.release().await.unwrap();
    let guard = waiting.await.unwrap().unwrap();
    sleep(Duration::from_millis(1)).await;
    let acquired =
        changes([("acquire_wait_seconds{outcome=acquired}", 1.0), ("acquires_waiting", 0.0)]);
    assert_eq!(harness.take_changes(), acquired);
    let waits = harness.recorder.recorded("acquire_wait_seconds{outcome=acquired}");
    assert!((1.0..1.3).contains(waits.last().unwrap()), "{waits:?}");

    let another = harness.client().lock("a").unwrap();
    another.acquire(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(harness.recorder.recorded("acquire_wait_seconds{outcome=timed_out}"), [2.0]);
    timeout(Duration::from_secs(1), another.acquire(TTL)).await.unwrap_err();
    assert_eq!(harness.recorder.recorded("acquire_wait_seconds{outcome=cancelled}"), [1.0]);
    assert_eq!(harness.recorder.value("acquires_waiting"), Some(0.0));
    guard.release().await.unwrap();
}
