//! With `Client::resign` the leader steps down cleanly, and another instance leads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/faulty_store.rs"]
mod faulty_store;

use std::sync::Arc;
use std::time::Duration;

use faulty_store::{FaultyStore, WatchFault};
use leasehold_core::{
    Client, Clock, DisableOutcome, Leadership, LockState, LockStore, MemoryStore, ResignOutcome,
    Status, TokioClock, job_fn,
};
use tokio::time::timeout;

fn client(store: &Arc<dyn LockStore>) -> Client {
    Client::builder(store.clone()).clock(Arc::new(TokioClock::new())).seed(1).build().unwrap()
}

fn store() -> Arc<dyn LockStore> {
    Arc::new(MemoryStore::with_clock(Arc::new(TokioClock::new())))
}

#[tokio::test(start_paused = true)]
async fn resign_moves_the_lead_and_leaves_the_name_enabled() {
    let store = store();
    let client = client(&store);
    let job = job_fn(|leadership: Leadership| async move {
        leadership.cancelled().await;
        Ok(())
    });
    let election = client.election("a").unwrap().spawn(job);
    let first = grant_after(&client, 0).await;

    let outcome = client.resign("a", "deploying").await.unwrap();
    assert_eq!(outcome, ResignOutcome::Resigning(client.holder().clone()));
    let record = client.status("a").await.unwrap();
    assert!(record.disabled.is_none(), "{record:?}");
    assert!(grant_after(&client, first).await > first);
    election.shutdown().await;
}

/// The store's hints come late, so the instance that resigned waits until others have received
/// them.
#[tokio::test(start_paused = true)]
async fn resign_moves_the_lead_to_a_candidate_with_slow_hints() {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let shared = MemoryStore::with_clock(clock.clone());
    let campaign = || {
        let store = FaultyStore { inner: shared.clone(), ..FaultyStore::new(clock.clone()) }
            .watching(WatchFault::Manual);
        let client = Client::builder(Arc::new(store.clone())).clock(clock.clone()).build().unwrap();
        let job = job_fn(|leadership: Leadership| async move {
            leadership.cancelled().await;
            Ok(())
        });
        (store, client.election("a").unwrap().spawn(job))
    };
    let (near, leader) = campaign();
    leader.watch().wait_for(Status::is_leading).await.unwrap();
    let (far, standby) = campaign();
    tokio::time::sleep(Duration::from_secs(1)).await;

    let operator = Client::builder(Arc::new(shared.clone())).clock(clock.clone()).build().unwrap();
    operator.resign("a", "deploying").await.unwrap();
    near.hint();
    // This is the delay of a store that is polled five times a second.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!leader.status().is_leading());
    far.hint();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(standby.status().is_leading() && !leader.status().is_leading());

    // Without another candidate, the instance leads again soon.
    standby.shutdown().await;
    near.hint();
    leader.watch().wait_for(Status::is_leading).await.unwrap();
    operator.resign("a", "deploying").await.unwrap();
    near.hint();
    leader.watch().wait_for(|status| !status.is_leading()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(leader.status().is_leading());
}

/// Waits for a lease in force under another token.
async fn grant_after(client: &Client, token: u64) -> u64 {
    let granted = async {
        loop {
            let record = client.status("a").await.unwrap();
            match record.token.filter(|_| record.lease.is_some()) {
                Some(now) if now.get() != token => return now.get(),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    timeout(Duration::from_secs(60), granted).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn resign_does_nothing_to_free_or_disabled_names() {
    let client = client(&store());
    assert_eq!(client.resign("a", "x").await.unwrap(), ResignOutcome::NotHeld);
    assert_eq!(client.status("a").await.unwrap().state(), LockState::Free);

    assert_eq!(client.disable("a", "first").await.unwrap(), DisableOutcome::Disabled);
    let outcome = client.resign("a", "x").await.unwrap();
    assert!(
        matches!(&outcome, ResignOutcome::Disabled(by) if by.reason.as_str() == "first"),
        "{outcome:?}"
    );
    assert_eq!(client.status("a").await.unwrap().state(), LockState::Disabled);
    assert!(client.resign("", "x").await.unwrap_err().is_invalid());
    assert!(client.resign("a", "").await.unwrap_err().is_invalid());
}

#[tokio::test(start_paused = true)]
async fn resign_completes_when_its_future_is_dropped() {
    let client = client(&store());
    let guard = client.lock("a").unwrap().acquire(Duration::ZERO).await.unwrap();
    // The future is polled once and then dropped.
    let _ = timeout(Duration::ZERO, client.resign("a", "x")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let record = client.status("a").await.unwrap();
    assert!(record.disabled.is_none(), "{record:?}");
    drop(guard);
}
