//! These cases wait for locks as applications do, with time limits, cancelled calls and dropped
//! guards.

use std::time::Duration;

use leasehold_core::{MAX_TTL, Settings};
use tokio::time::timeout;

use super::engine::{client, gated};
use crate::{CaseResult, Ctx, race};

crate::case::cases! {
    Exclusion: [
        contenders_hold_the_lock_one_at_a_time,
    ],
    WaitsEnd: [
        a_timed_out_wait_names_the_holder,
        a_wait_on_a_hanging_store_ends_at_its_limit,
    ],
    NothingLeftHeld: [
        a_cancelled_acquire_leaves_no_lock_held,
        dropping_a_guard_releases_the_lock,
    ],
}

/// An unused lock may stay held for this long, which is much less than its lease lasts.
const SOON: Duration = Duration::from_secs(60);

async fn contenders_hold_the_lock_one_at_a_time(ctx: Ctx) -> CaseResult {
    const CONTENDERS: usize = 32;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(client(&ctx).await?);
    }
    let inside = std::sync::Arc::new(parking_lot::Mutex::new(None));
    // On a busy machine a short lease may expire right after the grant.
    let long = Settings::new().ttl(ctx.long_ttl());
    race((0..CONTENDERS).map(|number| {
        let (client, inside) = (clients[number % 4].clone(), inside.clone());
        let long = long.clone();
        async move {
            for _ in 0..3 {
                let guard = client.lock("job")?.settings(&long)?.acquire(MAX_TTL).await?;
                let before = inside.lock().replace(number);
                assert_eq!(before, None, "two are inside");
                tokio::task::yield_now().await;
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

async fn a_timed_out_wait_names_the_holder(ctx: Ctx) -> CaseResult {
    let (holder, waiter) = (client(&ctx).await?, client(&ctx).await?);
    let long = Settings::new().ttl(ctx.long_ttl());
    let guard = holder.lock("job")?.settings(&long)?.acquire(SOON).await?;
    // Connecting may take longer than the first wait below.
    assert!(waiter.lock("job")?.try_acquire().await?.is_none());
    let (mut wait, who) = (Duration::from_millis(300), holder.holder().to_string());
    let text = loop {
        let error = waiter.lock("job")?.acquire(wait).await.unwrap_err();
        assert!(error.is_timed_out(), "{error}");
        let text = error.to_string();
        // On a busy machine such a short wait may end without a reply.
        if text.contains(&who) || wait > SOON {
            break text;
        }
        wait *= 2;
    };
    assert!(text.contains("\"job\"") && text.contains(&who), "{text}");
    Ok(guard.release().await?)
}

async fn a_wait_on_a_hanging_store_ends_at_its_limit(ctx: Ctx) -> CaseResult {
    let (waiter, gate) = gated(&ctx).await?;
    gate.shut();
    let waited = timeout(SOON, waiter.lock("job")?.acquire(Duration::from_millis(500))).await;
    assert!(waited.expect("the limit is kept").unwrap_err().is_timed_out());
    let once = timeout(SOON, waiter.lock("job")?.try_acquire()).await;
    assert!(once.expect("a call that hangs ends").unwrap_err().is_outcome_unknown());
    gate.open();
    Ok(())
}

async fn a_cancelled_acquire_leaves_no_lock_held(ctx: Ctx) -> CaseResult {
    let client = client(&ctx).await?;
    let lock = client.lock("job")?.settings(&Settings::new().ttl(ctx.long_ttl()))?;
    for round in 0..40 {
        // The call or its guard is dropped at any point.
        let limit = Duration::from_micros(round * 50);
        drop(timeout(limit, lock.acquire(SOON)).await);
    }
    let guard = lock.acquire(SOON).await?;
    assert!(guard.is_held());
    Ok(guard.release().await?)
}

async fn dropping_a_guard_releases_the_lock(ctx: Ctx) -> CaseResult {
    let (first, second) = (client(&ctx).await?, client(&ctx).await?);
    let long = Settings::new().ttl(ctx.long_ttl());
    let guard = first.lock("job")?.settings(&long)?.acquire(SOON).await?;
    let token = guard.token();
    drop(guard);
    let next = second.lock("job")?.acquire(SOON).await?;
    assert!(next.token() > token);
    Ok(next.release().await?)
}
