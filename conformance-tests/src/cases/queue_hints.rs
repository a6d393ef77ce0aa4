//! Promise `hints-only`, for queues: leaving is hinted with the leases that hold the lock because of
//! it, and heartbeats of entries cause no hints.

use futures_util::StreamExt;
use leasehold_core::{Hint, LeaseId, LockKind, LockName};
use tokio::time::{sleep, timeout};

use super::queue_client::{QueueClient, semaphore};
use crate::client::concerns;
use crate::expect::{granted, queued};
use crate::{CaseResult, Ctx, Failure, Task, spawn};

crate::case::cases! {
    HintsOnly: [
        a_leave_is_hinted_to_the_entry_that_holds_the_lock[Queues],
        a_leave_is_hinted_to_all_entries_that_hold_the_lock[Queues],
        a_waiter_that_leaves_is_hinted_to_those_that_it_held_up[Queues],
        disable_and_enable_of_a_queue_are_hinted[Queues],
        heartbeats_of_entries_cause_no_hints[Queues],
    ],
}

/// Returns whether a waiter with that lease would ask the store because of the hint.
fn wakes(hint: &Hint, name: &LockName, lease: LeaseId) -> bool {
    match hint {
        Hint::Entries(hinted, leases) => hinted == name && leases.contains(&lease),
        other => concerns(other, name),
    }
}

/// Starts a watcher that polls from now until hints have woken the waiters with all these leases.
async fn watcher(ctx: &Ctx, queue: &QueueClient, leases: &[LeaseId]) -> CaseResult<Task<()>> {
    // The hints of earlier changes have arrived by then.
    sleep(ctx.hint_window()).await;
    let client = ctx.open().await?;
    let mut hints = client.watch().await?;
    let (name, mut waiting, limit) = (queue.name.clone(), leases.to_vec(), ctx.hint_patience());
    Ok(spawn(async move {
        let _stays_open = client;
        let wait = async {
            while let Some(hint) = hints.next().await {
                waiting.retain(|lease| !wakes(&hint, &name, *lease));
                if waiting.is_empty() {
                    break;
                }
            }
        };
        // The stream may also end, and then the waiters are not woken.
        let _ = timeout(limit, wait).await;
        if waiting.is_empty() {
            return Ok(());
        }
        Err(Failure::new(format!("{} waiters got no hint within {limit:?}", waiting.len())))
    }))
}

async fn a_leave_is_hinted_to_the_entry_that_holds_the_lock(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let [first, second, third] = [queue.attempt(), queue.attempt(), queue.attempt()];
    granted(queue.enter(&first).await?);
    queued(queue.enter(&second).await?);
    queued(queue.enter(&third).await?);
    for (leaves, next) in [(&first, &second), (&second, &third)] {
        let watcher = watcher(&ctx, &queue, &[next.lease]).await?;
        queue.leave(leaves).await?;
        watcher.join().await?;
    }
    Ok(())
}

async fn a_leave_is_hinted_to_all_entries_that_hold_the_lock(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::ReaderWriter).await?;
    let writer = queue.attempt().with_weight(LockKind::WRITER_WEIGHT);
    granted(queue.enter(&writer).await?);
    let mut readers = Vec::new();
    // There are more of them than one message may be able to name.
    for _ in 0..200 {
        let reader = queue.attempt();
        queued(queue.enter(&reader).await?);
        readers.push(reader.lease);
    }
    let watcher = watcher(&ctx, &queue, &readers).await?;
    queue.leave(&writer).await?;
    watcher.join().await
}

async fn a_waiter_that_leaves_is_hinted_to_those_that_it_held_up(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", semaphore(3)?).await?;
    let [first, heavy] = [queue.attempt(), queue.attempt().with_weight(3)];
    let [second, third] = [queue.attempt(), queue.attempt()];
    granted(queue.enter(&first).await?);
    for attempt in [&heavy, &second, &third] {
        queued(queue.enter(attempt).await?);
    }
    let watcher = watcher(&ctx, &queue, &[second.lease, third.lease]).await?;
    queue.leave(&heavy).await?;
    watcher.join().await
}

async fn disable_and_enable_of_a_queue_are_hinted(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let [first, second] = [queue.attempt(), queue.attempt()];
    granted(queue.enter(&first).await?);
    queued(queue.enter(&second).await?);
    let both = [first.lease, second.lease];
    let disabled = watcher(&ctx, &queue, &both).await?;
    queue.disable("upkeep").await?;
    disabled.join().await?;
    let enabled = watcher(&ctx, &queue, &both).await?;
    queue.enable().await?;
    enabled.join().await
}

async fn heartbeats_of_entries_cause_no_hints(ctx: Ctx) -> CaseResult {
    const HEARTBEATS: usize = 6;
    let queue = QueueClient::open(&ctx, "beating", LockKind::Fair).await?;
    let end = QueueClient::open(&ctx, "end", LockKind::Fair).await?;
    let [first, second] = [queue.attempt(), queue.attempt()];
    granted(queue.enter(&first).await?);
    queued(queue.enter(&second).await?);
    let last = [end.attempt(), end.attempt()];
    granted(end.enter(&last[0]).await?);
    queued(end.enter(&last[1]).await?);
    sleep(ctx.hint_window()).await;
    let client = ctx.open().await?;
    let mut hints = client.watch().await?;
    let (name, limit) = (end.name.clone(), ctx.hint_patience());
    let watcher = spawn(async move {
        let mut seen = Vec::new();
        let wait = async {
            while let Some(hint) = hints.next().await {
                let over = matches!(
                    &hint, Hint::Name(hinted) | Hint::Entries(hinted, _) if *hinted == name
                );
                seen.push(hint);
                if over {
                    break;
                }
            }
        };
        // The hint `Anything` does not name the end, so the wait also ends after some time.
        let _ = timeout(limit, wait).await;
        Ok(seen)
    });
    for _ in 0..HEARTBEATS {
        for attempt in [&first, &second] {
            queue.renew(attempt).await?;
        }
        sleep(ctx.hint_window() / 2).await;
    }
    end.leave(&last[0]).await?;
    let seen = watcher.join().await?;
    // On a busy machine a hint of an entry may arrive late, but at most once or twice.
    let caused = seen.iter().filter(|hint| concerns(hint, &queue.name)).count();
    assert!(caused < HEARTBEATS / 2, "heartbeats caused hints: {seen:?}");
    Ok(())
}
