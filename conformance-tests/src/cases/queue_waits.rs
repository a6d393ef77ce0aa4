//! Waits for locks with a queue end at their limits, and say why.

use std::time::Duration;

use leasehold_core::{ErrorKind, LockKind, LossReason, MAX_TTL, Settings};
use tokio::time::timeout;

use super::engine::{client, gated};
use super::queue_locks::{SOON, until_queue, without_expiry};
use crate::{CaseResult, Ctx, spawn};

crate::case::cases! {
    WaitsEnd: [
        a_timed_out_wait_in_a_queue_leaves_it_and_names_the_holder[Queues],
        a_wait_in_the_queue_of_a_hanging_store_ends_at_its_limit[Queues],
    ],
    OneKind: [
        locks_of_different_kinds_refuse_each_others_names[Queues],
    ],
    PromptTakeover: [
        a_disabled_queue_is_used_again_after_an_enable[Queues],
    ],
}

async fn a_timed_out_wait_in_a_queue_leaves_it_and_names_the_holder(ctx: Ctx) -> CaseResult {
    let (holder, waiter) = (client(&ctx).await?, client(&ctx).await?);
    let long = Settings::new().ttl(ctx.long_ttl());
    let held = holder.fair_lock("job")?.settings(&long)?.acquire(SOON).await?;
    let lock = waiter.fair_lock("job")?.settings(&long)?;
    // Connecting may take longer than the first wait below.
    assert!(lock.try_acquire().await?.is_none());
    let (mut wait, who) = (Duration::from_millis(300), holder.holder().to_string());
    let text = loop {
        let error = lock.acquire(wait).await.unwrap_err();
        assert!(error.is_timed_out(), "{error}");
        let text = error.to_string();
        // On a busy machine such a short wait may end without a reply.
        if text.contains(&who) || wait > SOON {
            break text;
        }
        wait *= 2;
    };
    assert!(text.contains("\"job\"") && text.contains(&who), "{text}");
    until_queue(&holder, |queue| queue.entries.len() == 1).await?;
    assert!(held.is_held());
    Ok(held.release().await?)
}

async fn a_wait_in_the_queue_of_a_hanging_store_ends_at_its_limit(ctx: Ctx) -> CaseResult {
    let (waiter, gate) = gated(&ctx).await?;
    let lock = waiter.fair_lock("job")?;
    gate.shut();
    let waited = timeout(SOON, lock.acquire(Duration::from_millis(500))).await;
    assert!(waited.expect("the limit is kept").unwrap_err().is_timed_out());
    let once = timeout(SOON, lock.try_acquire()).await;
    assert!(once.expect("a call that hangs ends").unwrap_err().is_outcome_unknown());
    gate.open();
    Ok(())
}

async fn locks_of_different_kinds_refuse_each_others_names(ctx: Ctx) -> CaseResult {
    let (first, second) = (client(&ctx).await?, client(&ctx).await?);
    let long = Settings::new().ttl(ctx.long_ttl());
    let held = first.semaphore("job", 2)?.settings(&long)?.acquire(SOON).await?;
    // These are errors that waiting cannot resolve, so nobody waits.
    let errors = [
        second.semaphore("job", 3)?.acquire(MAX_TTL).await.unwrap_err(),
        second.fair_lock("job")?.acquire(MAX_TTL).await.unwrap_err(),
        second.rw_lock("job")?.write(MAX_TTL).await.unwrap_err(),
        second.lock("job")?.acquire(MAX_TTL).await.unwrap_err(),
        second.lock("job")?.try_acquire().await.unwrap_err(),
    ];
    let found = LockKind::semaphore(2)?.to_string();
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(error.to_string().contains(&found), "{error}");
    }
    held.release().await?;
    let guard = second.lock("job")?.settings(&long)?.acquire(SOON).await?;
    let error = first.semaphore("job", 2)?.acquire(MAX_TTL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    Ok(guard.release().await?)
}

async fn a_disabled_queue_is_used_again_after_an_enable(ctx: Ctx) -> CaseResult {
    let (operator, first) = (client(&ctx).await?, client(&ctx).await?);
    let held = first.fair_lock("job")?.settings(&without_expiry(&ctx))?.acquire(SOON).await?;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let lock = client(&ctx).await?.fair_lock("job")?.settings(&without_expiry(&ctx))?;
        waiting.push(spawn(async move { Ok(lock.acquire(MAX_TTL).await?.release().await?) }));
    }
    until_queue(&operator, |queue| queue.waiters().len() == 2).await?;
    operator.disable("job", "upkeep").await?;
    let loss = held.lost().await;
    assert!(matches!(loss, LossReason::Disabled { .. }), "{loss}");
    held.release().await?;
    assert!(first.fair_lock("job")?.try_acquire().await?.is_none(), "it is disabled");
    until_queue(&operator, |queue| queue.entries.is_empty()).await?;
    operator.enable("job").await?;
    for task in waiting {
        task.join().await?;
    }
    Ok(())
}
