//! An entry that waits is kept by heartbeats, and what happens to it is noticed.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use leasehold_core::{EnterOptions, Guard, Holder, LeaseId, LockKind, LockName, LockStore};
use tokio::time::{Instant, sleep, timeout};

use crate::instance_store::{InstanceStore, LATENCY};
use crate::{HOUR, SECOND, entries, granted, queue, wait, wait_as};

#[tokio::test(start_paused = true)]
async fn an_entry_is_kept_for_as_long_as_its_call_waits() {
    let store = InstanceStore::new();
    let client = store.client();
    let held = client.fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let waiting = wait_as(&store.another()).await;
    let token = queue(&client).await.waiters()[0].token;
    sleep(600 * SECOND).await;
    assert_eq!(queue(&client).await.waiters()[0].token, token);
    held.release().await.unwrap();
    let held = granted(waiting).await;
    assert_eq!(held.token(), token);
    sleep(60 * SECOND).await;
    assert!(held.is_held());
    held.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_waiting_entry_shares_the_heartbeat_of_the_leases() {
    let store = InstanceStore::new();
    let held = store.client().fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let waits = store.another();
    let client = waits.client();
    let mut guards = Vec::new();
    for number in 0..10 {
        let lock = client.lock(format!("lock-{number}")).unwrap();
        guards.push(lock.acquire(HOUR).await.unwrap());
    }
    let lock = client.fair_lock("a").unwrap();
    let waiting = tokio::spawn(async move { lock.acquire(HOUR).await });
    sleep(SECOND).await;
    let before = waits.count("renew");
    sleep(30 * SECOND).await;
    let beats = waits.count("renew") - before;
    assert!(beats <= 12, "{beats} calls in ten intervals");
    assert!(guards.iter().all(Guard::is_held));
    held.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_expired_enters_again_at_the_end() {
    let store = InstanceStore::new();
    let client = store.client();
    let held = client.fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let fails = store.another();
    let expired = wait_as(&fails).await;
    let other = wait_as(&store.another()).await;
    let before = queue(&client).await.waiters()[0].clone();
    fails.faults.renew_fails.store(true, SeqCst);
    sleep(20 * SECOND).await;
    fails.faults.renew_fails.store(false, SeqCst);
    sleep(5 * SECOND).await;
    let queue = queue(&client).await;
    assert_eq!(queue.waiters().len(), 2);
    assert!(queue.entries.iter().all(|entry| entry.token != before.token), "{queue:?}");
    held.release().await.unwrap();
    let other = granted(other).await;
    sleep(SECOND).await;
    assert!(!expired.is_finished(), "it holds the lock by its old entry");
    other.release().await.unwrap();
    let last = granted(expired).await;
    assert_eq!(last.token(), queue.waiters()[1].token);
    last.release().await.unwrap();
}

/// An operator, or another program, may have removed the entry.
#[tokio::test(start_paused = true)]
async fn a_waiter_whose_entry_was_removed_enters_again_under_another_lease() {
    let store = InstanceStore::new();
    let client = store.client();
    let held = client.fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let waiting = wait_as(&store.another()).await;
    let removed = queue(&client).await.waiters()[0].clone();
    store.store.leave(&LockName::new("a").unwrap(), removed.id).await.unwrap();
    assert_eq!(entries(&client).await, (1, 0));
    // The next heartbeat says that it is lost.
    sleep(4 * SECOND).await;
    let waiter = queue(&client).await.waiters()[0].clone();
    assert!(waiter.id != removed.id && waiter.token > removed.token);
    held.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
}

/// The store says at 0.1 s that the entry holds the lock, but the reply comes when that may no
/// longer be true.
#[tokio::test(start_paused = true)]
async fn a_waiter_is_not_trusted_until_a_reply_comes_in_time() {
    let store = InstanceStore::new();
    let client = store.client();
    let held = client.fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let slow = store.another();
    let waiting = wait_as(&slow).await;
    slow.faults.renewed_late_by.store(14_500, SeqCst);
    held.release().await.unwrap();
    sleep(Duration::from_millis(14_700)).await;
    assert_eq!(entries(&client).await, (1, 0), "the entry holds the lock");
    assert!(!waiting.is_finished());
    slow.faults.renewed_late_by.store(0, SeqCst);
    let guard = timeout(5 * SECOND, waiting).await.unwrap().unwrap().unwrap();
    assert!(guard.is_held());
    sleep(60 * SECOND).await;
    assert!(guard.is_held());
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lost_hint_is_made_up_for_by_the_next_renewal() {
    let store = InstanceStore::new();
    let held = store.client().fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let waits = store.another();
    waits.faults.loses_hints.store(true, SeqCst);
    let waiting = wait_as(&waits).await;
    sleep(SECOND).await;
    held.release().await.unwrap();
    sleep(LATENCY * 5).await;
    assert!(!waiting.is_finished(), "it was told by a hint");
    let guard = timeout(4 * SECOND, waiting).await.unwrap().unwrap().unwrap();
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hint_wakes_the_waiter_that_holds_the_lock_and_no_other() {
    let store = InstanceStore::new();
    let held = store.client().fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let [second, third] = [store.another(), store.another()];
    let next = wait_as(&second).await;
    let last = wait_as(&third).await;
    let before = (second.count("renew"), third.count("renew"));
    held.release().await.unwrap();
    let guard = timeout(LATENCY * 5, next).await.unwrap().unwrap().unwrap();
    assert_eq!((second.count("renew"), third.count("renew")), (before.0 + 1, before.1));
    guard.release().await.unwrap();
    timeout(LATENCY * 5, last).await.unwrap().unwrap().unwrap().release().await.unwrap();
}

/// The watch may be late, as one that polls is.
#[tokio::test(start_paused = true)]
async fn a_guard_of_the_same_client_hands_the_lock_over_without_a_hint() {
    let store = InstanceStore::new();
    store.faults.loses_hints.store(true, SeqCst);
    let lock = store.client().fair_lock("a").unwrap();
    for ends in ["release", "drop"] {
        let held = lock.acquire(HOUR).await.unwrap();
        let next = lock.clone();
        let waiting = wait(async move { next.acquire(HOUR).await }).await;
        match ends {
            "release" => held.release().await.unwrap(),
            _ => drop(held),
        }
        let guard = timeout(LATENCY * 5, waiting).await.expect(ends).unwrap().unwrap();
        guard.release().await.unwrap();
    }
}

/// Nothing tells of a crash, but the waiters know when the entry of the holder expires.
#[tokio::test(start_paused = true)]
async fn a_holder_that_died_is_followed_when_its_entry_expires() {
    let store = InstanceStore::new();
    let name = LockName::new("a").unwrap();
    let ttl = Duration::from_millis(4_500);
    let dead = EnterOptions::new(LeaseId::new(), Holder::current(), ttl, LockKind::Fair);
    store.store.enter(&name, &dead).await.unwrap();
    let from = Instant::now();
    let waiting = wait_as(&store.another()).await;
    // Heartbeats are three seconds apart, and the next one is at six seconds.
    let guard = timeout(10 * SECOND, waiting).await.unwrap().unwrap().unwrap();
    let followed = from.elapsed();
    assert!((ttl..ttl + SECOND).contains(&followed), "{followed:?}");
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_died_holds_nobody_up() {
    let store = InstanceStore::new();
    let held = store.client().fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let name = LockName::new("a").unwrap();
    let dead = EnterOptions::new(LeaseId::new(), Holder::current(), 5 * SECOND, LockKind::Fair);
    store.store.enter(&name, &dead).await.unwrap();
    let waiting = wait_as(&store.another()).await;
    held.release().await.unwrap();
    sleep(2 * SECOND).await;
    assert!(!waiting.is_finished(), "the dead waiter is ahead");
    timeout(5 * SECOND, waiting).await.unwrap().unwrap().unwrap().release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_a_lost_reply_finds_its_entry() {
    let store = InstanceStore::new();
    let client = store.client();
    let held = client.fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let unlucky = store.another();
    unlucky.faults.enter_loses_reply.store(true, SeqCst);
    let waiting = wait_as(&unlucky).await;
    assert_eq!(unlucky.count("enter"), 1);
    let token = queue(&client).await.waiters()[0].token;
    unlucky.faults.enter_loses_reply.store(false, SeqCst);
    let behind = wait_as(&store.another()).await;
    sleep(5 * SECOND).await;
    assert!(unlucky.count("enter") > 1);
    assert_eq!(entries(&client).await, (1, 2));
    held.release().await.unwrap();
    let guard = timeout(5 * SECOND, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(guard.token(), token);
    guard.release().await.unwrap();
    granted(behind).await.release().await.unwrap();
}
