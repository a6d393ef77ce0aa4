//! Promises `queue-order`, `own-retry-is-granted`, `checked-input` and others, for attempts to enter
//! a queue.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{ErrorKind, LeaseId, LockKind, MAX_ENTRIES, MAX_TTL, ReleaseOutcome};
use tokio::time::timeout;

use super::queue_client::{QueueClient, semaphore};
use crate::expect::{conflict, extended, granted, held, queued, waits};
use crate::{CaseResult, Ctx, Failure, LossyStore, race};

crate::case::cases! {
    OwnRetryIsGranted: [
        a_retry_returns_the_standing_of_the_entry_and_extends_nothing[Queues],
        concurrent_duplicates_of_an_attempt_make_one_entry[Queues],
    ],
    QueueOrder: [
        an_attempt_that_does_not_wait_makes_no_entry_that_would_have_to[Queues],
        a_queue_has_a_maximum_of_entries[Queues],
    ],
    UnknownIsNotFailed: [
        a_retry_after_a_lost_reply_finds_the_entry[Queues],
    ],
    CancelSafe: [
        a_dropped_attempt_to_enter_is_atomic[Queues],
    ],
    CheckedInput: [
        impossible_entries_are_refused_with_nothing_written[Queues],
        the_capabilities_say_whether_the_store_has_queues,
    ],
}

async fn a_retry_returns_the_standing_of_the_entry_and_extends_nothing(ctx: Ctx) -> CaseResult {
    let (queue, other) = (
        QueueClient::open(&ctx, "job", LockKind::Fair).await?,
        QueueClient::open(&ctx, "job", LockKind::Fair).await?,
    );
    let [first, second] = [queue.attempt(), queue.attempt()];
    let grant = granted(queue.enter(&first).await?);
    let waiter = queued(queue.enter(&second).await?);
    let doubled = ctx.in_steps(queue.ttl * 2);
    // A retry extends nothing, whatever its ttl is and whichever client makes it.
    for client in [&queue, &other] {
        let retry = client.repeat_for(&first, doubled);
        let again = granted(client.enter(&retry).await?);
        assert_eq!((again.token, again.floor), (grant.token, grant.floor));
        assert!(again.left <= grant.left, "{:?} after {:?}", again.left, grant.left);
        let retry = client.repeat_for(&second, doubled);
        let again = queued(client.enter(&retry).await?);
        assert_eq!((again.token, again.ahead), (waiter.token, 1));
        assert!(again.left <= waiter.left, "{:?} after {:?}", again.left, waiter.left);
        // The entry exists, so the attempt does not have to wait for one.
        let again = queued(client.enter(&second.clone().without_waiting()).await?);
        assert_eq!(again.token, waiter.token);
    }
    queue.leave(&first).await?;
    let again = granted(queue.enter(&second).await?);
    assert_eq!((again.token, again.floor), (waiter.token, waiter.token));
    assert!(again.left <= waiter.left, "{:?} after {:?}", again.left, waiter.left);
    // An attempt that has ended is a new one.
    let next = queued(queue.enter(&first).await?);
    assert!(next.token > waiter.token && next.ahead == 1, "{next:?}");
    Ok(())
}

async fn concurrent_duplicates_of_an_attempt_make_one_entry(ctx: Ctx) -> CaseResult {
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(QueueClient::open(&ctx, "job", LockKind::Fair).await?);
    }
    granted(clients[0].enter(&clients[0].attempt()).await?);
    for round in 1..=5 {
        let attempt = clients[0].attempt();
        let tokens = race((0..16).map(|number| {
            let (client, attempt) = (clients[number % 4].clone(), attempt.clone());
            async move { Ok(queued(client.enter(&attempt).await?).token) }
        }))
        .await?;
        assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
        assert_eq!(clients[0].queue().await?.entries.len(), round + 1);
    }
    Ok(())
}

async fn an_attempt_that_does_not_wait_makes_no_entry_that_would_have_to(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", semaphore(3)?).await?;
    let first = queue.attempt().with_weight(2).without_waiting();
    let token = granted(queue.enter(&first).await?).token;
    let heavy = queue.attempt().with_weight(2).without_waiting();
    let refusal = held(queue.enter(&heavy).await?);
    assert_eq!((&refusal.holder, refusal.token), (&first.holder, token));
    assert!(refusal.left <= queue.ttl && !refusal.left.is_zero(), "{:?} left", refusal.left);
    assert_eq!(queue.leases().await?, (vec![first.lease], vec![]));
    // A permit is left, but not if somebody waits for it.
    let light = queue.attempt().without_waiting();
    granted(queue.enter(&light).await?);
    queue.leave(&light).await?;
    let waiter = queue.attempt().with_weight(2);
    queued(queue.enter(&waiter).await?);
    held(queue.enter(&queue.attempt().without_waiting()).await?);
    assert_eq!(queue.leases().await?, (vec![first.lease], vec![waiter.lease]));
    // The refused attempt made no entry, so it is granted once there is room.
    queue.leave(&waiter).await?;
    queue.leave(&first).await?;
    granted(queue.enter(&heavy).await?);
    Ok(())
}

async fn a_queue_has_a_maximum_of_entries(ctx: Ctx) -> CaseResult {
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(QueueClient::open(&ctx, "job", LockKind::Fair).await?);
    }
    let queue = clients[0].clone();
    let first = queue.attempt();
    granted(queue.enter(&first).await?);
    // Each of these tasks makes entries until it is refused.
    let made = race((0..8).map(|number| {
        let client = clients[number % 4].clone();
        async move {
            for made in 0..=MAX_ENTRIES {
                match client.enter(&client.attempt()).await {
                    Ok(outcome) => _ = queued(outcome),
                    Err(error) if error.kind() == ErrorKind::Conflict => return Ok(made),
                    Err(error) => return Err(error.into()),
                }
            }
            Err(Failure::new("one task made more entries than a queue may have"))
        }
    }))
    .await?;
    assert_eq!(made.iter().sum::<usize>() + 1, MAX_ENTRIES);
    let text = conflict(queue.enter(&queue.attempt()).await);
    assert!(text.contains(&MAX_ENTRIES.to_string()), "{text}");
    assert_eq!(queue.queue().await?.entries.len(), MAX_ENTRIES);
    // The entries that exist are served, and an attempt that does not wait is only refused.
    held(queue.enter(&queue.attempt().without_waiting()).await?);
    granted(queue.enter(&first).await?);
    let last = queue.queue().await?.entries.last().map(|entry| entry.id).expect("it is full");
    waits(queue.renew_for(last, queue.ttl).await?);
    assert_eq!(queue.leave(&first).await?, ReleaseOutcome::Released);
    assert_eq!(queued(queue.enter(&queue.attempt()).await?).ahead, MAX_ENTRIES - 1);
    conflict(queue.enter(&queue.attempt()).await);
    Ok(())
}

async fn a_retry_after_a_lost_reply_finds_the_entry(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let lossy = Arc::new(LossyStore::new(ctx.backend().open(ctx.namespace()).await?));
    let unlucky = queue.on_store(lossy.clone());
    let [first, second] = [unlucky.attempt(), unlucky.attempt()];
    for (attempt, number) in [(&first, 1), (&second, 2)] {
        lossy.lose(2);
        // The client repeats the attempt under the same lease.
        unlucky.enter(attempt).await?;
        assert_eq!(queue.queue().await?.entries.len(), number);
    }
    lossy.lose(1);
    let error = unlucky.leave(&first).await.expect_err("the reply is lost");
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    assert_eq!(unlucky.leave(&first).await?, ReleaseOutcome::NotHeld);
    assert_eq!(queue.leases().await?, (vec![second.lease], vec![]));
    Ok(())
}

async fn a_dropped_attempt_to_enter_is_atomic(ctx: Ctx) -> CaseResult {
    let client = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    for round in 0..24 {
        // A call that was sent may take effect a moment later, so each round has its own name.
        let queue = QueueClient { name: ctx.name(&format!("job {round}")), ..client.clone() };
        let first = queue.attempt();
        granted(queue.enter(&first).await?);
        let dropped = queue.attempt();
        let limit = Duration::from_micros(round * 40);
        drop(timeout(limit, queue.enter(&dropped)).await);
        drop(timeout(limit, queue.leave(&first)).await);
        // Whatever became of them, a retry makes it certain.
        queue.leave(&first).await?;
        let grant = granted(queue.enter(&dropped).await?);
        assert_eq!(grant.floor, grant.token, "round {round}");
        assert_eq!(queue.leases().await?, (vec![dropped.lease], vec![]), "round {round}");
        extended(queue.renew(&dropped).await?);
    }
    Ok(())
}

async fn impossible_entries_are_refused_with_nothing_written(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", semaphore(2)?).await?;
    let attempt = queue.attempt();
    let impossible = [
        attempt.clone().with_weight(0),
        attempt.clone().with_weight(3),
        queue.as_kind(LockKind::Fair).attempt().with_weight(2),
        queue.as_kind(LockKind::ReaderWriter).attempt().with_weight(u32::MAX),
        queue.as_kind(LockKind::Exclusive).attempt(),
        queue.attempt_for(Duration::ZERO),
        queue.attempt_for(MAX_TTL + Duration::from_secs(1)),
    ];
    for attempt in &impossible {
        let error = queue.enter(attempt).await.expect_err("it is impossible");
        assert!(error.is_invalid(), "{attempt:?}: {error}");
    }
    assert_eq!(queue.client.get(&queue.name).await?, None, "a refused attempt writes nothing");
    granted(queue.enter(&attempt).await?);
    for ttl in [Duration::ZERO, MAX_TTL + Duration::from_secs(1)] {
        assert!(queue.renew_for(attempt.lease, ttl).await.expect_err("a ttl").is_invalid());
    }
    let largest = [
        (LockKind::semaphore(LockKind::MAX_CAPACITY)?, LockKind::MAX_CAPACITY),
        (LockKind::ReaderWriter, LockKind::WRITER_WEIGHT),
    ];
    for (kind, weight) in largest {
        let queue = QueueClient::open(&ctx, &kind.code(), kind).await?;
        granted(queue.enter(&queue.attempt().with_weight(weight)).await?);
        // The sum of many such weights is larger than 32 bits can hold.
        for _ in 0..4 {
            queued(queue.enter(&queue.attempt().with_weight(weight)).await?);
            held(queue.enter(&queue.attempt().without_waiting()).await?);
        }
        assert_eq!(queue.queue().await?.entries[4].weight, weight);
    }
    Ok(())
}

async fn the_capabilities_say_whether_the_store_has_queues(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let attempt = queue.attempt();
    if ctx.capabilities().queues {
        granted(queue.enter(&attempt).await?);
        assert_eq!(queue.leave(&attempt).await?, ReleaseOutcome::Released);
        return Ok(());
    }
    let entered = queue.enter(&attempt).await.expect_err("there are no queues");
    let left = queue.leave_by(LeaseId::new()).await.expect_err("there are no queues");
    assert!(entered.is_unsupported() && left.is_unsupported(), "{entered}; {left}");
    assert_eq!(queue.client.get(&queue.name).await?, None);
    Ok(())
}
