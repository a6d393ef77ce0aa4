//! An operator disables a name while calls hold it and wait for it.

use leasehold_core::{LossReason, Reason, ResignOutcome};
use tokio::time::{sleep, timeout};

use crate::instance_store::InstanceStore;
use crate::{HOUR, SECOND, entries, granted, queue, wait, wait_as};

#[tokio::test(start_paused = true)]
async fn a_disabled_name_has_no_waiters_and_its_holder_is_told() {
    let store = InstanceStore::new();
    let client = store.client();
    let held = client.fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let waiting = wait_as(&store.another()).await;
    client.disable("a", "upgrade").await.unwrap();
    let disabled = LossReason::Disabled { reason: Reason::new("upgrade").unwrap() };
    assert_eq!(timeout(4 * SECOND, held.lost()).await.unwrap(), disabled);
    sleep(SECOND).await;
    assert_eq!(entries(&client).await, (1, 0), "the waiter has left");
    held.release().await.unwrap();
    sleep(60 * SECOND).await;
    assert!(!waiting.is_finished(), "a disabled name is granted to nobody");
    client.enable("a").await.unwrap();
    let guard = granted(waiting).await;
    sleep(60 * SECOND).await;
    assert!(guard.is_held());
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_for_a_disabled_name_waits_and_names_the_reason() {
    let store = InstanceStore::new();
    let client = store.client();
    client.disable("a", "upgrade").await.unwrap();
    let lock = client.fair_lock("a").unwrap();
    assert!(lock.try_acquire().await.unwrap().is_none());
    let error = lock.acquire(10 * SECOND).await.unwrap_err();
    assert!(error.is_timed_out() && error.to_string().contains("upgrade"), "{error}");
    let waiting = wait(async move { lock.acquire(HOUR).await }).await;
    client.enable("a").await.unwrap();
    granted(waiting).await.release().await.unwrap();
}

/// The entries from before the disable are never renewed again.
#[tokio::test(start_paused = true)]
async fn a_name_that_was_disabled_for_a_moment_is_granted_by_new_entries_only() {
    let store = InstanceStore::new();
    let client = store.client();
    let held = client.fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let waiting = wait_as(&store.another()).await;
    let before = queue(&client).await.waiters()[0].token;
    let outcome = client.resign("a", "deploying").await.unwrap();
    assert_eq!(outcome, ResignOutcome::Resigning(client.holder().clone()));
    let lost = timeout(4 * SECOND, held.lost()).await.unwrap();
    assert!(matches!(lost, LossReason::Disabled { .. }), "{lost:?}");
    sleep(SECOND).await;
    assert_eq!(entries(&client).await, (1, 1));
    assert!(queue(&client).await.waiters()[0].token > before);
    held.release().await.unwrap();
    let guard = granted(waiting).await;
    assert!(guard.token() > before);
    sleep(60 * SECOND).await;
    assert!(guard.is_held());
    guard.release().await.unwrap();
}
