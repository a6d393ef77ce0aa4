//! Promises `trust-ends-first` and `queue-order`, for clients that wait in a queue: a waiter whose
//! entry has expired never gets the lock by it, and nothing depends on hints.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream;
use leasehold_core::intercept::{Interceptor, Reply, Request};
use leasehold_core::{Client, LockStore, MAX_TTL, Result};
use parking_lot::Mutex;
use tokio::task::yield_now;

use super::engine::{client, gated, settings};
use super::queue_locks::{SOON, until_queue, without_expiry};
use crate::{CaseResult, Ctx, race, spawn};

crate::case::cases! {
    TrustEndsFirst: [
        a_waiter_whose_entry_expired_does_not_get_the_lock_by_it[Queues],
        a_holder_whose_entry_expired_does_not_trust_it[Queues],
    ],
    HintsOnly: [
        locks_with_queues_work_although_each_watch_ends[Queues],
    ],
}

async fn a_waiter_whose_entry_expired_does_not_get_the_lock_by_it(ctx: Ctx) -> CaseResult {
    let without_expiry = without_expiry(&ctx);
    let (first, second) = (client(&ctx).await?, client(&ctx).await?);
    let (cut_off, gate) = gated(&ctx).await?;
    let held = first.fair_lock("job")?.settings(&without_expiry)?.acquire(SOON).await?;
    let lock = cut_off.fair_lock("job")?;
    let expired = spawn(async move { Ok(lock.acquire(MAX_TTL).await?) });
    let before = until_queue(&first, |queue| queue.entries.len() == 2).await?;
    let old = before.entries[1].clone();
    let lock = second.fair_lock("job")?.settings(&without_expiry)?;
    let behind = spawn(async move { Ok(lock.acquire(MAX_TTL).await?) });
    until_queue(&first, |queue| queue.entries.len() == 3).await?;
    gate.shut();
    until_queue(&first, |queue| queue.entries.iter().all(|entry| entry.id != old.id)).await?;
    held.release().await?;
    let next = behind.join().await?;
    assert!(next.token() > old.token);
    // Its renewals get replies again while another client holds the lock.
    gate.open();
    until_queue(&first, |queue| queue.waiters().len() == 1).await?;
    assert!(next.is_held());
    let token = next.token();
    next.release().await?;
    let last = expired.join().await?;
    assert!(
        last.token() > token,
        "{} after {token}, its old entry had {}",
        last.token(),
        old.token
    );
    Ok(last.release().await?)
}

async fn a_holder_whose_entry_expired_does_not_trust_it(ctx: Ctx) -> CaseResult {
    let (cut_off, gate) = gated(&ctx).await?;
    let other = client(&ctx).await?;
    let held = cut_off.semaphore("job", 2)?.acquire_many(2, SOON).await?;
    gate.shut();
    let next = other.semaphore("job", 2)?.acquire(SOON).await?;
    assert!(!held.is_held(), "two clients use the same permit");
    assert!(next.token() > held.token() && next.floor() == next.token());
    gate.open();
    Ok(next.release().await?)
}

/// The watches of this store end at once.
#[derive(Clone, Debug)]
struct UnwatchedStore(Arc<dyn LockStore>);

#[async_trait]
impl Interceptor for UnwatchedStore {
    fn inner(&self) -> &dyn LockStore {
        &*self.0
    }

    async fn intercept(&self, request: Request) -> Result<Reply> {
        match request {
            Request::Watch => Ok(Reply::Watch(Box::pin(stream::empty()))),
            request => request.send_to(self.inner()).await,
        }
    }
}

async fn locks_with_queues_work_although_each_watch_ends(ctx: Ctx) -> CaseResult {
    let inside = Arc::new(Mutex::new(None));
    let mut clients = Vec::new();
    for _ in 0..3 {
        let store = UnwatchedStore(ctx.backend().open(ctx.namespace()).await?);
        clients.push(Client::builder(Arc::new(store)).settings(settings(&ctx)).build()?);
    }
    let without_expiry = without_expiry(&ctx);
    race(clients.into_iter().enumerate().map(|(number, client)| {
        let (inside, without_expiry) = (inside.clone(), without_expiry.clone());
        async move {
            for _ in 0..2 {
                let guard =
                    client.fair_lock("job")?.settings(&without_expiry)?.acquire(MAX_TTL).await?;
                assert_eq!(inside.lock().replace(number), None, "two are inside");
                yield_now().await;
                assert!(guard.is_held());
                assert_eq!(inside.lock().take(), Some(number), "two are inside");
                guard.release().await?;
            }
            Ok(())
        }
    }))
    .await?;
    Ok(())
}
