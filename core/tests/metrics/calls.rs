//! These tests cover the metrics of calls to the store, and the number of series.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::time::sleep;

use super::faulty_store::WatchFault;
use super::{HEARTBEAT_INTERVAL, Harness, SETTLE_TIME, TTL, changes};

#[tokio::test(start_paused = true)]
async fn store_calls_are_counted_by_operation_and_outcome() {
    let harness = Harness::new();
    let client = harness.client();
    client.status("a").await.unwrap();
    client.list().await.unwrap();
    client.disable("a", "upgrade").await.unwrap();
    client.enable("a").await.unwrap();
    let calls =
        changes([("disable ok", 1.0), ("enable ok", 1.0), ("get ok", 1.0), ("list ok", 1.0)]);
    assert_eq!(harness.calls(), calls);

    let guard = client.lock("a").unwrap().try_acquire().await.unwrap().unwrap();
    sleep(HEARTBEAT_INTERVAL + SETTLE_TIME).await;
    harness.store.state.renew_fails.store(true, SeqCst);
    sleep(HEARTBEAT_INTERVAL).await;
    harness.store.state.renew_fails.store(false, SeqCst);
    guard.release().await.unwrap();
    let calls = changes([
        ("acquire ok", 1.0),
        ("release ok", 1.0),
        ("renew ok", 1.0),
        ("renew unavailable", 1.0),
        ("watch ok", 1.0),
    ]);
    assert_eq!(harness.calls(), calls);

    harness.store.state.all_hang.store(true, SeqCst);
    client.lock("b").unwrap().try_acquire().await.unwrap_err();
    assert_eq!(harness.calls(), changes([("acquire outcome_unknown", 1.0)]));
    let took = harness.recorder.recorded("store_call_seconds{operation=acquire}");
    assert_eq!(took, [0.0, 9.25], "calls are timed by the client's clock");
}

#[tokio::test(start_paused = true)]
async fn a_failed_watch_is_counted() {
    let harness = Harness::new();
    harness.store.set_watch(WatchFault::Refused);
    let guard = harness.client().lock("a").unwrap().try_acquire().await.unwrap().unwrap();
    // The holder watches from its first heartbeat on.
    sleep(HEARTBEAT_INTERVAL + Duration::from_millis(10)).await;
    assert!(harness.calls().contains(&("watch unavailable".to_owned(), 1.0)));
    guard.release().await.unwrap();
}

/// Ten thousand locks must not create ten thousand series.
#[tokio::test(start_paused = true)]
async fn lock_metrics_have_no_name_label() {
    let harness = Harness::new();
    let client = harness.client();
    for number in 0..50 {
        let lock = client.lock(format!("order-{number}")).unwrap();
        lock.acquire(TTL).await.unwrap().release().await.unwrap();
    }
    let series = harness.recorder.series();
    assert!(series.iter().all(|key| !key.contains("order-")), "{series:?}");
    assert!(series.len() < 60, "{} series", series.len());
}
