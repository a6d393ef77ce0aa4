//! Promise `disable-wins`, for names with a queue: a disabled name gets no entry, and its entries
//! are told to leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use leasehold_core::{
    AcquireOutcome, EnterOptions, ErrorKind, LockKind, LockState, Reason, ReleaseOutcome,
};
use tokio::task::yield_now;

use super::queue_client::{QueueClient, semaphore};
use crate::expect::{granted, holds, lost, not_extended, queued, refused, waits};
use crate::{CaseResult, Ctx, Failure, race};

crate::case::cases! {
    DisableWins: [
        a_disabled_name_gets_no_entry[Queues],
        holders_and_waiters_of_a_disabled_name_are_told_to_leave[Queues],
        entries_that_were_told_to_leave_have_to_leave_after_an_enable[Queues],
        an_entry_that_was_told_to_leave_keeps_its_turn_until_then[Queues],
        entries_of_a_disabled_name_leave_and_expire[Queues],
        the_reason_of_the_latest_disable_reaches_all_entries[Queues],
        no_entry_is_made_after_a_disable_has_returned[Queues],
    ],
}

/// Asserts that the entry is told to leave for that reason, and that nothing extends it.
async fn assert_told(queue: &QueueClient, attempt: &EnterOptions, reason: &str) -> CaseResult {
    let doubled = attempt.ttl * 2;
    for _ in 0..2 {
        let (told, left) = not_extended(queue.renew_for(attempt.lease, doubled).await?);
        assert_eq!(told.as_str(), reason);
        assert!(left <= attempt.ttl && !left.is_zero(), "{left:?} left");
        // It is not reported as granted either.
        assert_eq!(refused(queue.enter(attempt).await?).reason.as_str(), reason);
    }
    Ok(())
}

async fn a_disabled_name_gets_no_entry(ctx: Ctx) -> CaseResult {
    for (name, used) in [("never used", false), ("used", true)] {
        let queue = QueueClient::open(&ctx, name, LockKind::Fair).await?;
        let other = QueueClient::open(&ctx, name, semaphore(2)?).await?;
        if used {
            let before = queue.attempt();
            granted(queue.enter(&before).await?);
            queue.leave(&before).await?;
        }
        queue.disable("upkeep").await?;
        for client in [&queue, &other] {
            for attempt in [client.attempt(), client.attempt().without_waiting()] {
                let disablement = refused(client.enter(&attempt).await?);
                assert_eq!(disablement.reason.as_str(), "upkeep");
                lost(client.renew(&attempt).await?);
            }
        }
        assert!(queue.queue().await?.entries.is_empty());
        queue.enable().await?;
        granted(queue.enter(&queue.attempt()).await?);
    }
    Ok(())
}

async fn holders_and_waiters_of_a_disabled_name_are_told_to_leave(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", semaphore(2)?).await?;
    let attempts = [queue.attempt(), queue.attempt(), queue.attempt(), queue.attempt()];
    for attempt in &attempts {
        queue.enter(attempt).await?;
    }
    queue.disable("upkeep").await?;
    for attempt in &attempts {
        assert_told(&queue, attempt, "upkeep").await?;
    }
    assert_eq!(refused(queue.enter(&queue.attempt()).await?).reason.as_str(), "upkeep");
    let record = queue.client.get(&queue.name).await?.expect("it has entries");
    assert_eq!((record.kind, record.state()), (queue.kind, LockState::Ending));
    assert!(record.disabled.is_some());
    let shown = record.queue.expect("it has entries");
    assert_eq!((shown.entries.len(), shown.holding), (4, 2));
    for entry in &shown.entries {
        assert_eq!(entry.ending.as_ref().map(Reason::as_str), Some("upkeep"));
        assert!(entry.left <= queue.ttl, "a renewal extended it to {:?}", entry.left);
    }
    // As an exclusive lock it is granted to nobody either.
    match queue.acquire().await {
        Ok(AcquireOutcome::Disabled(_)) => Ok(()),
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(()),
        other => Err(Failure::new(format!("the name is disabled and in use: {other:?}"))),
    }
}

async fn entries_that_were_told_to_leave_have_to_leave_after_an_enable(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let [holder, waiter] = [queue.attempt(), queue.attempt()];
    granted(queue.enter(&holder).await?);
    queued(queue.enter(&waiter).await?);
    // Nobody has noticed anything in between.
    queue.disable("upkeep").await?;
    queue.enable().await?;
    for attempt in [&holder, &waiter] {
        assert_told(&queue, attempt, "upkeep").await?;
    }
    // An entry that is made since is not concerned, and writing it changes nothing for the others.
    let new = queue.attempt();
    assert_eq!(queued(queue.enter(&new).await?).ahead, 2);
    waits(queue.renew(&new).await?);
    for attempt in [&holder, &waiter] {
        assert_told(&queue, attempt, "upkeep").await?;
    }
    assert_eq!(queued(queue.enter(&new).await?).ahead, 2);
    let entries = queue.queue().await?.entries;
    let ending: Vec<_> = entries.iter().map(|entry| entry.ending.is_some()).collect();
    assert_eq!(ending, [true, true, false]);
    Ok(())
}

async fn an_entry_that_was_told_to_leave_keeps_its_turn_until_then(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let [holder, waiter] = [queue.attempt(), queue.attempt()];
    granted(queue.enter(&holder).await?);
    queued(queue.enter(&waiter).await?);
    queue.disable("upkeep").await?;
    queue.enable().await?;
    let new = queue.attempt();
    queued(queue.enter(&new).await?);
    assert_eq!(queue.leave(&holder).await?, ReleaseOutcome::Released);
    // The waiter would hold the lock now, but it has to leave.
    assert_told(&queue, &waiter, "upkeep").await?;
    waits(queue.renew(&new).await?);
    assert_eq!(queue.leave(&waiter).await?, ReleaseOutcome::Released);
    holds(queue.renew(&new).await?);
    let grant = granted(queue.enter(&new).await?);
    assert_eq!(grant.token, grant.floor);
    // The others enter again under new leases.
    assert_eq!(queued(queue.enter(&queue.attempt()).await?).ahead, 1);
    Ok(())
}

async fn entries_of_a_disabled_name_leave_and_expire(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let [leaves, expires] = [queue.attempt(), queue.attempt_for(ctx.short_ttl())];
    queue.enter(&expires).await?;
    queue.enter(&leaves).await?;
    queue.disable("upkeep").await?;
    assert_eq!(queue.leave(&leaves).await?, ReleaseOutcome::Released);
    queue.until_gone(expires.lease).await?;
    assert_eq!(queue.leave(&expires).await?, ReleaseOutcome::NotHeld);
    for attempt in [&leaves, &expires] {
        lost(queue.renew_for(attempt.lease, queue.ttl).await?);
        refused(queue.enter(attempt).await?);
    }
    let record = queue.client.get(&queue.name).await?.expect("it is disabled");
    assert_eq!((record.queue.is_none(), record.state()), (true, LockState::Disabled));
    queue.enable().await?;
    // Nothing of the disable is left for the entries that are made after it.
    let [first, second] = [queue.attempt(), queue.attempt()];
    granted(queue.enter(&first).await?);
    queued(queue.enter(&second).await?);
    holds(queue.renew(&first).await?);
    waits(queue.renew(&second).await?);
    assert!(queue.queue().await?.entries.iter().all(|entry| entry.ending.is_none()));
    Ok(())
}

async fn the_reason_of_the_latest_disable_reaches_all_entries(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", semaphore(2)?).await?;
    let first = queue.attempt();
    granted(queue.enter(&first).await?);
    queue.disable("one").await?;
    // The name is disabled already, so this changes nothing.
    queue.disable("two").await?;
    assert_told(&queue, &first, "one").await?;
    queue.enable().await?;
    let second = queue.attempt();
    granted(queue.enter(&second).await?);
    assert_told(&queue, &first, "one").await?;
    holds(queue.renew(&second).await?);
    let reason = "drei \u{1f512} ' \" \\ % {} $a";
    queue.disable(reason).await?;
    for attempt in [&first, &second] {
        assert_told(&queue, attempt, reason).await?;
    }
    Ok(())
}

async fn no_entry_is_made_after_a_disable_has_returned(ctx: Ctx) -> CaseResult {
    let opened = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    for round in 0..6 {
        let queue = QueueClient { name: ctx.name(&format!("job {round}")), ..opened.clone() };
        let disabled = Arc::new(AtomicBool::new(false));
        race((0..9).map(|number| {
            let (queue, disabled) = (queue.clone(), disabled.clone());
            async move {
                if number == 0 {
                    queue.disable("upkeep").await?;
                    disabled.store(true, Ordering::SeqCst);
                    return Ok(());
                }
                loop {
                    let was_disabled = disabled.load(Ordering::SeqCst);
                    let attempt = queue.attempt();
                    match queue.enter(&attempt).await? {
                        AcquireOutcome::Disabled(_) => return Ok(()),
                        outcome => {
                            assert!(!was_disabled, "entered a disabled name: {outcome:?}");
                            queue.leave(&attempt).await?;
                            // A store in memory never makes its caller wait.
                            yield_now().await;
                        }
                    }
                }
            }
        }))
        .await?;
        assert!(queue.queue().await?.entries.is_empty());
    }
    Ok(())
}
