//! Promise `queue-order`: entries hold the lock in the order of their tokens, within the capacity.

use leasehold_core::{
    EnterOptions, FencingToken, LeaseId, LockKind, LockState, LockStoreExt, QueueRecord,
    ReleaseOutcome,
};

use super::queue_client::{QueueClient, semaphore};
use crate::expect::{granted, holds, queued, waits};
use crate::{CaseResult, Ctx};

crate::case::cases! {
    QueueOrder: [
        the_first_entries_hold_the_lock_and_the_others_wait[Queues],
        an_entry_that_waits_is_told_what_is_ahead_of_it[Queues],
        each_waiter_holds_the_lock_in_its_turn[Queues],
        an_entry_that_fits_does_not_overtake_a_heavier_one[Queues],
        readers_do_not_overtake_a_writer_that_waits[Queues],
        a_holder_keeps_the_lock_whatever_comes_behind_it[Queues],
        the_floor_is_the_smallest_token_of_the_queue[Queues],
        tokens_strictly_increase_in_all_entries[Queues],
        a_record_shows_the_queue_as_it_is[Queues],
    ],
}

async fn the_first_entries_hold_the_lock_and_the_others_wait(ctx: Ctx) -> CaseResult {
    let kinds = [
        (LockKind::Fair, 1),
        (semaphore(1)?, 1),
        (semaphore(3)?, 3),
        (LockKind::ReaderWriter, 5),
        (LockKind::leaders(2)?, 2),
    ];
    for (kind, holders) in kinds {
        let queue = QueueClient::open(&ctx, &kind.code(), kind).await?;
        let attempts: Vec<_> = (0..5).map(|_| queue.attempt()).collect();
        for (at, attempt) in attempts.iter().enumerate() {
            let outcome = queue.enter(attempt).await?;
            if at < holders {
                let left = granted(outcome).left;
                assert!(left <= queue.ttl && !left.is_zero(), "{kind}: {left:?} left");
            } else {
                assert_eq!(queued(outcome).ahead, at, "{kind}");
            }
        }
        let leases: Vec<_> = attempts.iter().map(|attempt| attempt.lease).collect();
        let (holding, waiting) = leases.split_at(holders);
        assert_eq!(queue.leases().await?, (holding.to_vec(), waiting.to_vec()), "{kind}");
    }
    Ok(())
}

async fn an_entry_that_waits_is_told_what_is_ahead_of_it(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let other = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let doubled = ctx.in_steps(queue.ttl * 2);
    let first = granted(queue.enter(&queue.attempt_for(doubled)).await?);
    let second = queued(other.enter(&other.attempt()).await?);
    assert_eq!(second.ahead, 1);
    assert!(second.recheck > queue.ttl, "none ahead expires within {:?}", second.recheck);
    let last = other.attempt_for(doubled);
    for _ in 0..2 {
        // A retry gets the same answer.
        let third = queued(other.enter(&last).await?);
        assert_eq!(third.ahead, 2);
        assert!(third.left > queue.ttl && third.left <= doubled, "{:?} left", third.left);
        // The second entry may expire before the first.
        assert!(third.recheck <= queue.ttl && !third.recheck.is_zero(), "{:?}", third.recheck);
        assert_eq!(&third.held.holder, queue.client.holder());
        assert_eq!(third.held.token, first.token);
        assert!(third.held.left > queue.ttl && third.held.left <= doubled);
    }
    let (_, ahead, recheck) = waits(other.renew(&last).await?);
    assert_eq!(ahead, 2);
    assert!(recheck <= queue.ttl && !recheck.is_zero(), "{recheck:?}");
    Ok(())
}

async fn each_waiter_holds_the_lock_in_its_turn(ctx: Ctx) -> CaseResult {
    let clients = [(); 3].map(|()| QueueClient::open(&ctx, "job", LockKind::Fair));
    let clients = futures_util::future::try_join_all(clients).await?;
    let attempts: Vec<_> = (0..9).map(|at| clients[at % 3].attempt()).collect();
    let mut tokens = Vec::new();
    for (at, attempt) in attempts.iter().enumerate() {
        let outcome = clients[at % 3].enter(attempt).await?;
        tokens.push(if at == 0 { granted(outcome).token } else { queued(outcome).token });
    }
    for (at, attempt) in attempts.iter().enumerate() {
        // Nobody else was told that it holds the lock, and the token is that of the entry.
        for (later, waiting) in attempts.iter().enumerate().skip(at + 1) {
            let (_, ahead, _) = waits(clients[later % 3].renew(waiting).await?);
            assert_eq!(ahead, later - at);
        }
        let grant = granted(clients[at % 3].enter(attempt).await?);
        assert_eq!((grant.token, grant.floor), (tokens[at], tokens[at]));
        assert_eq!(holds(clients[at % 3].renew(attempt).await?).1, tokens[at]);
        // The lease id is sufficient to leave, from any client.
        assert_eq!(clients[0].leave(attempt).await?, ReleaseOutcome::Released);
    }
    assert!(clients[0].queue().await?.entries.is_empty());
    Ok(())
}

async fn an_entry_that_fits_does_not_overtake_a_heavier_one(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", semaphore(4)?).await?;
    let permits = |weight| queue.attempt().with_weight(weight);
    let [first, heavy, light] = [permits(2), permits(3), permits(1)];
    let token = granted(queue.enter(&first).await?).token;
    queued(queue.enter(&heavy).await?);
    // One permit would be enough for it, but the heavier entry came earlier.
    assert_eq!(queued(queue.enter(&light).await?).ahead, 2);
    assert_eq!(waits(queue.renew(&light).await?).1, 2);
    assert_eq!(queue.leases().await?.0, [first.lease]);
    queue.leave(&first).await?;
    let heavy = granted(queue.enter(&heavy).await?);
    assert!(heavy.token > token && heavy.floor == heavy.token);
    // Both fit now.
    assert_eq!(granted(queue.enter(&light).await?).floor, heavy.token);
    queued(queue.enter(&permits(1)).await?);
    Ok(())
}

async fn readers_do_not_overtake_a_writer_that_waits(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::ReaderWriter).await?;
    let readers: Vec<EnterOptions> = (0..3).map(|_| queue.attempt()).collect();
    for reader in &readers {
        granted(queue.enter(reader).await?);
    }
    let writer = queue.attempt().with_weight(LockKind::WRITER_WEIGHT);
    let later = [queue.attempt(), queue.attempt()];
    assert_eq!(queued(queue.enter(&writer).await?).ahead, 3);
    for (at, reader) in later.iter().enumerate() {
        assert_eq!(queued(queue.enter(reader).await?).ahead, 4 + at);
    }
    for reader in &readers {
        waits(queue.renew(&writer).await?);
        queue.leave(reader).await?;
    }
    granted(queue.enter(&writer).await?);
    for reader in &later {
        waits(queue.renew(reader).await?);
    }
    queue.leave(&writer).await?;
    for reader in &later {
        holds(queue.renew(reader).await?);
    }
    Ok(())
}

async fn a_holder_keeps_the_lock_whatever_comes_behind_it(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", semaphore(2)?).await?;
    let holders = [queue.attempt(), queue.attempt()];
    for holder in &holders {
        granted(queue.enter(holder).await?);
    }
    for weight in [1, 2, 1, 2] {
        let waiter = queue.attempt().with_weight(weight);
        queued(queue.enter(&waiter).await?);
        queue.renew(&waiter).await?;
        for holder in &holders {
            holds(queue.renew(holder).await?);
            granted(queue.enter(holder).await?);
        }
    }
    Ok(())
}

async fn the_floor_is_the_smallest_token_of_the_queue(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", semaphore(3)?).await?;
    let attempts = [queue.attempt(), queue.attempt(), queue.attempt()];
    let mut tokens = Vec::new();
    for attempt in &attempts {
        let grant = granted(queue.enter(attempt).await?);
        tokens.push(grant.token);
        assert_eq!(grant.floor, tokens[0]);
    }
    // An entry in the middle leaves, and then the first.
    let [first, second, third] = &attempts;
    queue.leave(second).await?;
    assert_eq!(holds(queue.renew(third).await?).1, tokens[0]);
    queue.leave(first).await?;
    assert_eq!(holds(queue.renew(third).await?).1, tokens[2]);
    assert_eq!(granted(queue.enter(third).await?).floor, tokens[2]);
    Ok(())
}

async fn tokens_strictly_increase_in_all_entries(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let mut last: Option<FencingToken> = None;
    for round in 0..4 {
        let attempts = [queue.attempt(), queue.attempt(), queue.attempt()];
        for (at, attempt) in attempts.iter().enumerate() {
            let outcome = queue.enter(attempt).await?;
            let token = if at == 0 { granted(outcome).token } else { queued(outcome).token };
            assert!(Some(token) > last, "round {round}: {token} after {last:?}");
            last = Some(token);
        }
        // The entry with the largest token leaves first.
        for attempt in attempts.iter().rev() {
            queue.leave(attempt).await?;
        }
        if round == 2 {
            queue.disable("upkeep").await?;
            queue.enable().await?;
        }
    }
    Ok(())
}

async fn a_record_shows_the_queue_as_it_is(ctx: Ctx) -> CaseResult {
    let (queue, other) = (
        QueueClient::open(&ctx, "job", semaphore(5)?).await?,
        QueueClient::open(&ctx, "job", semaphore(5)?).await?,
    );
    let attempts = [
        queue.attempt().with_weight(2),
        other.attempt().with_weight(3),
        queue.attempt().with_weight(5),
        other.attempt(),
    ];
    for attempt in &attempts {
        queue.enter(attempt).await?;
    }
    let record = other.client.get(&other.name).await?.expect("the name is in use");
    assert_eq!((record.kind, record.state()), (semaphore(5)?, LockState::Held));
    assert!(record.is_in_use() && record.lease.is_none(), "{record:?}");
    let shown = record.queue.clone().expect("it has entries");
    assert_eq!(shown.holding, 2);
    for (entry, attempt) in shown.entries.iter().zip(&attempts) {
        assert_eq!((entry.id, entry.weight), (attempt.lease, attempt.weight));
        assert_eq!((&entry.holder, &entry.ending), (&attempt.holder, &None));
        assert!(entry.left <= queue.ttl && !entry.left.is_zero(), "{:?} left", entry.left);
    }
    assert!(shown.entries.is_sorted_by(|a, b| a.token < b.token), "{shown:?}");
    assert_eq!(record.token, shown.entries.last().map(|entry| entry.token));
    let listed = queue.client.store().list_all("").await?;
    let ids = |queue: &QueueRecord| -> Vec<LeaseId> {
        queue.entries.iter().map(|entry| entry.id).collect()
    };
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].name, listed[0].kind), (&queue.name, record.kind));
    assert_eq!(listed[0].queue.as_ref().map(ids), Some(ids(&shown)));
    for attempt in &attempts {
        queue.leave(attempt).await?;
    }
    // A store may keep no record of a name that nobody uses.
    if let Some(free) = queue.client.get(&queue.name).await? {
        assert_eq!((free.state(), free.kind), (LockState::Free, LockKind::Exclusive));
        assert_eq!((free.queue, free.lease, free.token), (None, None, record.token));
    }
    Ok(())
}
