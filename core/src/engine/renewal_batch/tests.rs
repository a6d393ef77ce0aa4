//! These tests cover which renewals a batch sends, and which leases get its replies.

use std::future::pending;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use tokio::time::timeout;

use super::*;
use crate::engine::renewal_queue::RenewalTimes;
use crate::engine::renewed_lease::testing::{TestLease, Told};
use crate::intercept::{Interceptor, Reply, Request};
use crate::lease::RenewalWindow;
use crate::{AcquireOptions, DisableOptions, Holder, LockStore, MemoryStore, Reason, TokioClock};

/// This store never replies.
#[derive(Debug, Default)]
struct SilentStore(MemoryStore);

#[async_trait]
impl Interceptor for SilentStore {
    fn inner(&self) -> &dyn LockStore {
        &self.0
    }

    async fn intercept(&self, _: Request) -> Result<Reply> {
        pending().await
    }
}

fn bounded(store: impl LockStore) -> BoundedStore {
    BoundedStore::new(Arc::new(store), Arc::new(TokioClock::new()))
}

/// Returns a batch of the renewals of these leases, numbered from 0, if there are any to send.
fn batch(leases: &[Arc<TestLease>]) -> Option<RenewalBatch> {
    let renewal = |(number, lease): (u64, &Arc<TestLease>)| {
        let window = RenewalWindow {
            earliest: Moment::ORIGIN,
            latest: Moment::ORIGIN,
            retry_at: Moment::from_secs(1),
            useful_until: Moment::from_secs(1_000),
        };
        let times = RenewalTimes { window, renew_by: Moment::from_secs(1_000), next_tick: None };
        (number, QueuedRenewal { times, caller: RenewalCaller::Lease(lease.clone()) })
    };
    RenewalBatch::new((0..).zip(leases).map(renewal).collect(), Moment::ORIGIN)
}

#[test]
fn only_leases_that_are_still_held_are_sent() {
    let leases = ["a", "b"].map(TestLease::new);
    leases[0].ended.store(true, Ordering::SeqCst);
    let sent = batch(&leases).unwrap();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent.leases, [leases[1].options.clone()]);
    assert_eq!(leases[1].take_told(), [Told::Sent(1)]);
    leases[1].ended.store(true, Ordering::SeqCst);
    assert!(batch(&leases).is_none());
}

/// A store that sorts its batches finds them in order.
#[tokio::test(start_paused = true)]
async fn a_batch_is_in_the_order_of_names_and_each_lease_gets_its_own_reply() {
    let store = MemoryStore::with_clock(Arc::new(TokioClock::new()));
    let leases = ["c", "a", "b"].map(TestLease::new);
    for held in [&leases[0], &leases[2]] {
        let RenewOptions { name, lease, ttl, .. } = held.options.clone();
        let options = AcquireOptions::new(lease, Holder::current(), ttl);
        store.acquire(&name, &options).await.unwrap();
    }
    let (ttl, reason) = (leases[0].options.ttl, Reason::new("upkeep").unwrap());
    let disable = DisableOptions::new(reason.clone());
    store.disable(&leases[2].options.name, &disable).await.unwrap();
    let batch = batch(&leases).unwrap();
    let names: Vec<_> = batch.leases.iter().map(|lease| lease.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    batch.send(bounded(store)).await;
    // The outcomes differ, so that exchanged replies are noticed.
    let disabled = RenewOutcome::disabled(reason, ttl);
    let outcomes = [RenewOutcome::extended(ttl), RenewOutcome::Lost, disabled];
    for ((number, lease), outcome) in (0..).zip(&leases).zip(outcomes) {
        let told = [Told::Sent(number), Told::Replied(number, Some(outcome))];
        assert_eq!(lease.take_told(), told);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_panics_costs_no_other_its_reply() {
    let leases = ["a", "b", "c"].map(TestLease::new);
    leases[1].panics.store(true, Ordering::SeqCst);
    batch(&leases).unwrap().send(bounded(MemoryStore::new())).await;
    // The store has granted none of them.
    let lost = |number| [Told::Sent(number), Told::Replied(number, Some(RenewOutcome::Lost))];
    assert_eq!(leases[0].take_told(), lost(0));
    assert_eq!(leases[1].take_told(), [Told::Sent(1)]);
    assert_eq!(leases[2].take_told(), lost(2));
}

/// Otherwise the calls of leases that were released would accumulate at a store that hangs.
#[tokio::test(start_paused = true)]
async fn a_call_ends_when_no_lease_waits_for_it() {
    let leases = ["a", "b"].map(TestLease::new);
    let hour = Duration::from_secs(3600);
    let mut sending = pin!(batch(&leases).unwrap().send(bounded(SilentStore::default())));
    leases[0].awaited.lock().clear();
    timeout(Duration::from_secs(10), sending.as_mut()).await.unwrap_err();
    leases[1].awaited.lock().clear();
    let now = tokio::time::Instant::now();
    timeout(hour, sending).await.unwrap();
    assert_eq!(now.elapsed(), Duration::ZERO);
    assert_eq!(leases[1].take_told(), [Told::Sent(1)]);
}
