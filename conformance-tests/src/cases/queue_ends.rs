//! Promise `entries-end`: an entry that has left or expired holds nothing, holds nobody up, and is
//! never revived.

use std::time::{Duration, Instant};

use leasehold_core::{
    AcquireOutcome, LeaseId, LockKind, PruneOptions, ReleaseOutcome, RenewOutcome,
};
use tokio::time::sleep;

use super::queue_client::{QueueClient, semaphore};
use crate::expect::{granted, holds, lost, queued, waits};
use crate::{CLOCK_TOLERANCE, CaseResult, Ctx, race};

crate::case::cases! {
    EntriesEnd: [
        a_waiter_that_leaves_holds_nobody_up[Queues],
        a_second_leave_has_no_effect[Queues],
        a_leave_with_another_lease_id_removes_nothing[Queues],
        one_of_16_concurrent_leaves_takes_effect[Queues],
        a_dead_holder_is_followed_when_its_entry_expires[Queues],
        a_dead_waiter_holds_nobody_up_once_it_has_expired[Queues],
        an_expired_entry_is_never_revived[Queues],
        an_expired_waiter_enters_again_at_the_end[Queues],
        a_queue_that_expired_as_a_whole_is_free[Queues],
        a_grant_that_is_about_to_expire_overlaps_with_no_other[Queues],
    ],
    ReleaseOnlyOwn: [
        a_release_removes_no_entry_and_a_leave_ends_no_lease[Queues],
    ],
    PruneOnlyUnused: [
        a_name_with_live_entries_is_not_pruned[Queues],
    ],
}

async fn a_waiter_that_leaves_holds_nobody_up(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", semaphore(2)?).await?;
    let [first, heavy, last] = [queue.attempt(), queue.attempt().with_weight(2), queue.attempt()];
    granted(queue.enter(&first).await?);
    queued(queue.enter(&heavy).await?);
    queued(queue.enter(&last).await?);
    // The last one waits only because of the waiter ahead of it.
    assert_eq!(queue.leave(&heavy).await?, ReleaseOutcome::Released);
    holds(queue.renew(&last).await?);
    lost(queue.renew(&heavy).await?);
    assert_eq!(queue.leases().await?, (vec![first.lease, last.lease], vec![]));
    Ok(())
}

async fn a_second_leave_has_no_effect(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let [first, second, third] = [queue.attempt(), queue.attempt(), queue.attempt()];
    granted(queue.enter(&first).await?);
    queued(queue.enter(&second).await?);
    queued(queue.enter(&third).await?);
    assert_eq!(queue.leave(&first).await?, ReleaseOutcome::Released);
    for _ in 0..3 {
        assert_eq!(queue.leave(&first).await?, ReleaseOutcome::NotHeld);
        assert_eq!(queue.leases().await?, (vec![second.lease], vec![third.lease]));
    }
    for attempt in [&second, &third] {
        assert_eq!(queue.leave(attempt).await?, ReleaseOutcome::Released);
        assert_eq!(queue.leave(attempt).await?, ReleaseOutcome::NotHeld);
    }
    Ok(())
}

async fn a_leave_with_another_lease_id_removes_nothing(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let other = QueueClient { name: ctx.name("other"), ..queue.clone() };
    assert_eq!(queue.leave_by(LeaseId::new()).await?, ReleaseOutcome::NotHeld);
    assert_eq!(queue.client.get(&queue.name).await?, None, "it creates no record");
    let [first, second] = [queue.attempt(), queue.attempt()];
    granted(queue.enter(&first).await?);
    queued(queue.enter(&second).await?);
    assert_eq!(queue.leave_by(LeaseId::new()).await?, ReleaseOutcome::NotHeld);
    // The lease is that of another name.
    assert_eq!(other.leave(&first).await?, ReleaseOutcome::NotHeld);
    assert_eq!(queue.leases().await?, (vec![first.lease], vec![second.lease]));
    holds(queue.renew(&first).await?);
    waits(queue.renew(&second).await?);
    Ok(())
}

async fn one_of_16_concurrent_leaves_takes_effect(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let attempts = [queue.attempt(), queue.attempt(), queue.attempt()];
    for attempt in &attempts {
        queue.enter(attempt).await?;
    }
    for (at, attempt) in attempts.iter().enumerate() {
        let outcomes = race((0..16).map(|_| {
            let (queue, lease) = (queue.clone(), attempt.lease);
            async move { Ok(queue.leave_by(lease).await?) }
        }))
        .await?;
        let left = outcomes.iter().filter(|outcome| **outcome == ReleaseOutcome::Released).count();
        assert_eq!(left, 1);
        assert_eq!(queue.queue().await?.entries.len(), attempts.len() - at - 1);
    }
    Ok(())
}

async fn a_dead_holder_is_followed_when_its_entry_expires(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let dead = queue.attempt_for(ctx.short_ttl());
    let asked = Instant::now();
    let trusted_until = asked + granted(queue.enter(&dead).await?).left;
    let next = queue.attempt();
    // On a busy machine the entry has expired by now.
    queue.enter(&next).await?;
    queue.until_gone(dead.lease).await?;
    holds(queue.renew(&next).await?);
    let early = trusted_until.saturating_duration_since(Instant::now());
    assert!(early <= CLOCK_TOLERANCE, "followed {early:?} before its entry expired");
    assert_eq!(queue.leases().await?, (vec![next.lease], vec![]));
    Ok(())
}

async fn a_dead_waiter_holds_nobody_up_once_it_has_expired(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", semaphore(2)?).await?;
    let first = queue.attempt();
    granted(queue.enter(&first).await?);
    let dead = queue.attempt_for(ctx.short_ttl()).with_weight(2);
    let last = queue.attempt();
    queue.enter(&dead).await?;
    queue.enter(&last).await?;
    queue.until_gone(dead.lease).await?;
    // Nobody has left, and nobody else has written anything since.
    granted(queue.enter(&last).await?);
    holds(queue.renew(&last).await?);
    assert_eq!(queue.leases().await?, (vec![first.lease, last.lease], vec![]));
    granted(queue.enter(&first).await?);
    Ok(())
}

async fn an_expired_entry_is_never_revived(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let [holder, waiter] = [(); 2].map(|()| queue.attempt_for(ctx.short_ttl()));
    queue.enter(&holder).await?;
    queue.enter(&waiter).await?;
    let last = queue.attempt();
    queue.enter(&last).await?;
    for dead in [&holder, &waiter] {
        queue.until_gone(dead.lease).await?;
        for _ in 0..2 {
            lost(queue.renew_for(dead.lease, queue.ttl).await?);
            assert_eq!(queue.leave(dead).await?, ReleaseOutcome::NotHeld);
        }
    }
    holds(queue.renew(&last).await?);
    assert_eq!(queue.leases().await?, (vec![last.lease], vec![]));
    lost(queue.renew_for(LeaseId::new(), queue.ttl).await?);
    Ok(())
}

/// A waiter that has expired is never revived, so its turn is lost too.
async fn an_expired_waiter_enters_again_at_the_end(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let first = queue.attempt();
    granted(queue.enter(&first).await?);
    let expired = queue.attempt_for(ctx.short_ttl());
    let old = queued(queue.enter(&expired).await?).token;
    let second = queue.attempt();
    queue.enter(&second).await?;
    queue.until_gone(expired.lease).await?;
    let again = queue.repeat_for(&expired, queue.ttl);
    let token = queued(queue.enter(&again).await?).token;
    assert!(token > old, "{token} after {old}");
    queue.leave(&first).await?;
    holds(queue.renew(&second).await?);
    waits(queue.renew(&again).await?);
    queue.leave(&second).await?;
    holds(queue.renew(&again).await?);
    Ok(())
}

async fn a_queue_that_expired_as_a_whole_is_free(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let mut last = None;
    for _ in 0..3 {
        let attempts = [(); 3].map(|()| queue.attempt_for(ctx.short_ttl()));
        for attempt in &attempts {
            queue.enter(attempt).await?;
        }
        for attempt in &attempts {
            queue.until_gone(attempt.lease).await?;
        }
        let next = queue.attempt().without_waiting();
        let grant = granted(queue.enter(&next).await?);
        assert_eq!(grant.floor, grant.token);
        assert!(Some(grant.token) > last, "{} after {last:?}", grant.token);
        last = Some(grant.token);
        queue.leave(&next).await?;
    }
    Ok(())
}

/// A waiter that does not renew is granted the lock by the leaving of others when its own entry has
/// almost expired. The reply has to say how little time is left.
async fn a_grant_that_is_about_to_expire_overlaps_with_no_other(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let ttl = ctx.in_steps(ctx.short_ttl() * 2);
    for round in 0..4 {
        let queue = QueueClient { name: ctx.name(&format!("job {round}")), ..queue.clone() };
        let [first, last] = [queue.attempt(), queue.attempt()];
        granted(queue.enter(&first).await?);
        let waiter = queue.attempt_for(ttl);
        let entered = Instant::now();
        queue.enter(&waiter).await?;
        queue.enter(&last).await?;
        sleep((ttl / 4 * 3).saturating_sub(entered.elapsed())).await;
        queue.leave(&first).await?;
        // The record shows the entry only while it is live, so a retry makes no new one.
        let asked = Instant::now();
        let shown = queue.queue().await?.entries.iter().any(|entry| entry.id == waiter.lease);
        let outcome = if shown { Some(queue.enter(&waiter).await?) } else { None };
        let Some(AcquireOutcome::Granted(grant)) = outcome else {
            // On a busy machine the entry expired before that.
            continue;
        };
        let trusted_until = asked + grant.left;
        while !matches!(queue.renew(&last).await?, RenewOutcome::Extended { .. }) {
            sleep(Duration::from_millis(5)).await;
        }
        let early = trusted_until.saturating_duration_since(Instant::now());
        assert!(early <= CLOCK_TOLERANCE, "the next one held the lock {early:?} before that");
    }
    Ok(())
}

async fn a_release_removes_no_entry_and_a_leave_ends_no_lease(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let [first, second] = [queue.attempt(), queue.attempt()];
    granted(queue.enter(&first).await?);
    queued(queue.enter(&second).await?);
    for lease in [first.lease, second.lease, LeaseId::new()] {
        let outcome = queue.client.release(&queue.name, lease).await?;
        assert_eq!(outcome, ReleaseOutcome::NotHeld);
        assert_eq!(queue.leases().await?, (vec![first.lease], vec![second.lease]));
    }
    let taken = queue.client.acquire_free(&ctx.name("lease"), queue.ttl).await?;
    let exclusive = QueueClient { name: taken.name.clone(), ..queue };
    assert_eq!(exclusive.leave_by(taken.lease).await?, ReleaseOutcome::NotHeld);
    exclusive.client.release_held(&taken).await
}

async fn a_name_with_live_entries_is_not_pruned(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let [first, second] = [queue.attempt(), queue.attempt()];
    granted(queue.enter(&first).await?);
    queued(queue.enter(&second).await?);
    let all = PruneOptions::default().with_unused_for(Duration::ZERO).with_dry_run(false);
    for _ in 0..2 {
        assert_eq!(queue.client.store().prune(&all).await?, []);
        holds(queue.renew(&first).await?);
    }
    queue.leave(&first).await?;
    assert_eq!(queue.client.store().prune(&all).await?, []);
    let token = granted(queue.enter(&second).await?).token;
    queue.leave(&second).await?;
    queue.client.store().prune(&all).await?;
    assert!(granted(queue.enter(&queue.attempt()).await?).token > token);
    Ok(())
}
