//! Promises `uncontended-locks` and `waiters-in-order`: a lock costs an acquire and a release,
//! however many tasks of the client wait for it.

use futures_util::future::{join, join_all};
use leasehold_core::{Lock, MAX_TTL, Settings};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::engine::gated;
use crate::gated::GatedStore;
use crate::{CaseResult, Ctx, Failure, spawn};

crate::case::cases! {
    UncontendedLocks: [
        an_uncontended_lock_costs_an_acquire_and_a_release,
    ],
    WaitersInOrder: [
        many_waiters_of_a_client_cost_two_calls_per_grant,
        waiters_in_a_loop_get_equal_shares,
    ],
}

/// Opens a lock whose heartbeats are not due within a case, and the store that counts its calls.
async fn counted(ctx: &Ctx) -> CaseResult<(Lock, GatedStore)> {
    let (client, gate) = gated(ctx).await?;
    let settings = Settings::new().ttl(ctx.long_ttl());
    Ok((client.lock("job")?.settings(&settings)?, gate))
}

async fn an_uncontended_lock_costs_an_acquire_and_a_release(ctx: Ctx) -> CaseResult {
    let (lock, gate) = counted(&ctx).await?;
    for _ in 0..100 {
        lock.acquire(MAX_TTL).await?.release().await?;
    }
    let calls: Vec<_> = gate.calls().into_iter().collect();
    assert_eq!(calls, [("acquire", 100), ("release", 100)], "no other call is needed");
    Ok(())
}

async fn many_waiters_of_a_client_cost_two_calls_per_grant(ctx: Ctx) -> CaseResult {
    const WAITERS: usize = 1000;
    const GRANTS: u64 = 200;
    let (lock, gate) = counted(&ctx).await?;
    let (granted, mut grants) = mpsc::unbounded_channel();
    let waiters: Vec<_> = (0..WAITERS)
        .map(|_| {
            let (lock, granted) = (lock.clone(), granted.clone());
            spawn(async move {
                let guard = lock.acquire(MAX_TTL).await?;
                guard.release().await?;
                // This fails only if the case has ended.
                granted.send(()).ok();
                Ok(())
            })
        })
        .collect();
    drop(granted);
    for _ in 0..GRANTS {
        grants.recv().await.ok_or_else(|| Failure::new("a waiter did not get the lock"))?;
    }
    let calls = gate.calls();
    let (all, releases) = (calls.values().sum::<u64>(), calls.get("release").copied());
    // The next waiter may have asked already.
    let most = releases.unwrap_or_default() * 2 + 1;
    assert!(all <= most, "{calls:?} for {GRANTS} grants");
    drop(waiters);
    Ok(())
}

async fn waiters_in_a_loop_get_equal_shares(ctx: Ctx) -> CaseResult {
    const WAITERS: usize = 10;
    const GRANTS: u32 = 300;
    let (lock, _gate) = counted(&ctx).await?;
    // They all wait before the first of them gets the lock.
    let guard = lock.acquire(MAX_TTL).await?;
    let grants = Mutex::new([0_u32; WAITERS]);
    let waiters = (0..WAITERS).map(|waiter| {
        let (lock, grants) = (&lock, &grants);
        async move {
            while grants.lock().iter().sum::<u32>() < GRANTS {
                let guard = lock.acquire(MAX_TTL).await?;
                grants.lock()[waiter] += 1;
                guard.release().await?;
            }
            Ok::<_, Failure>(())
        }
    });
    let (ended, released) = join(join_all(waiters), guard.release()).await;
    released?;
    ended.into_iter().collect::<CaseResult>()?;
    let grants = *grants.lock();
    let (least, most) = (grants.iter().min(), grants.iter().max());
    let (least, most) = (least.copied().unwrap_or_default(), most.copied().unwrap_or_default());
    assert!(most * 5 <= least * 6, "unequal shares: {grants:?}");
    Ok(())
}
