//! Promise `one-kind`: a name in use as one kind of lock is refused as another, and tokens increase
//! across kinds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use leasehold_core::{AcquireOutcome, ErrorKind, FencingToken, LockKind, ReleaseOutcome};

use super::queue_client::{QueueClient, semaphore};
use crate::expect::{conflict, granted, held, holds, lost, queued};
use crate::{CaseResult, Ctx, race};

crate::case::cases! {
    OneKind: [
        a_name_in_use_as_one_kind_is_refused_as_another[Queues],
        a_name_with_an_exclusive_lease_gets_no_entry[Queues],
        a_name_with_entries_gets_no_exclusive_lease[Queues],
        a_free_name_can_be_used_as_another_kind[Queues],
        an_expired_queue_can_be_used_as_another_kind[Queues],
        one_kind_wins_a_free_name[Queues],
    ],
    TokensGrow: [
        tokens_increase_across_kinds[Queues],
    ],
}

fn kinds() -> CaseResult<Vec<LockKind>> {
    Ok(vec![
        LockKind::Fair,
        LockKind::ReaderWriter,
        semaphore(1)?,
        semaphore(3)?,
        LockKind::leaders(1)?,
        LockKind::leaders(3)?,
    ])
}

/// Asserts that the message names both kinds and the lock.
fn assert_names(message: &str, name: &str, found: LockKind, asked: LockKind) {
    let expected = [format!("in use as {found}"), format!("used as {asked}"), format!("{name:?}")];
    for part in expected {
        assert!(message.contains(&part), "{message:?} lacks {part:?}");
    }
}

async fn a_name_in_use_as_one_kind_is_refused_as_another(ctx: Ctx) -> CaseResult {
    for kind in kinds()? {
        let name = kind.code();
        let queue = QueueClient::open(&ctx, &name, kind).await?;
        let first = queue.attempt();
        granted(queue.enter(&first).await?);
        for other in kinds()? {
            let asked = queue.as_kind(other);
            if other == kind {
                continue;
            }
            for attempt in [asked.attempt(), asked.attempt().without_waiting()] {
                let message = conflict(asked.enter(&attempt).await);
                assert_names(&message, &name, kind, other);
            }
            // The entry is refused under another kind, too.
            let same = asked.repeat_for(&first, queue.ttl);
            conflict(asked.enter(&same).await);
        }
        let record = queue.client.get(&queue.name).await?.expect("the name is in use");
        assert_eq!(record.kind, kind, "a refused attempt changes nothing");
        assert_eq!(queue.leases().await?, (vec![first.lease], vec![]));
        holds(queue.renew(&first).await?);
    }
    Ok(())
}

async fn a_name_with_an_exclusive_lease_gets_no_entry(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let taken = queue.client.acquire_free(&queue.name, queue.ttl).await?;
    for kind in kinds()? {
        let asked = queue.as_kind(kind);
        for attempt in [asked.attempt(), asked.attempt().without_waiting()] {
            let message = conflict(asked.enter(&attempt).await);
            assert_names(&message, "job", LockKind::Exclusive, kind);
            lost(asked.renew(&attempt).await?);
        }
        assert!(queue.queue().await?.entries.is_empty());
    }
    assert_eq!(queue.client.holder_of(&queue.name).await?, Some(taken.lease));
    queue.client.release_held(&taken).await?;
    let grant = granted(queue.enter(&queue.attempt()).await?);
    assert!(grant.token > taken.token);
    Ok(())
}

async fn a_name_with_entries_gets_no_exclusive_lease(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", semaphore(3)?).await?;
    let [first, second] = [queue.attempt(), queue.attempt().with_weight(3)];
    granted(queue.enter(&first).await?);
    queued(queue.enter(&second).await?);
    let refused = || async {
        let message = conflict(queue.acquire().await);
        assert_names(&message, "job", queue.kind, LockKind::Exclusive);
        // An attempt with the lease of an entry is another attempt.
        conflict(queue.client.acquire(&queue.name, first.lease, queue.ttl).await);
    };
    refused().await;
    // A lock of which only a part is held is in use.
    queue.leave(&second).await?;
    refused().await;
    let attempts = [(queue.name.clone(), queue.client.options(second.lease, queue.ttl))];
    let batch = queue.client.store().acquire_many(&attempts).await;
    for outcome in batch {
        conflict(outcome);
    }
    assert_eq!(queue.leases().await?, (vec![first.lease], vec![]));
    assert_eq!(queue.leave(&first).await?, ReleaseOutcome::Released);
    granted(queue.acquire().await?);
    Ok(())
}

async fn a_free_name_can_be_used_as_another_kind(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    for _ in 0..2 {
        for kind in kinds()? {
            let asked = queue.as_kind(kind);
            let [first, second] = [asked.attempt(), asked.attempt()];
            granted(asked.enter(&first).await?);
            asked.enter(&second).await?;
            asked.leave(&first).await?;
            let record = asked.client.get(&asked.name).await?.expect("it has an entry");
            assert_eq!((record.kind, record.lease), (kind, None));
            asked.leave(&second).await?;
        }
        let taken = queue.client.acquire_free(&queue.name, queue.ttl).await?;
        let record = queue.client.get(&queue.name).await?.expect("it has a lease");
        assert_eq!((record.kind, record.queue), (LockKind::Exclusive, None));
        // Nothing of the queues before is left.
        held(queue.acquire().await?);
        queue.client.release_held(&taken).await?;
    }
    Ok(())
}

async fn an_expired_queue_can_be_used_as_another_kind(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let short = ctx.short_ttl();
    let dead = queue.attempt_for(short);
    queue.enter(&dead).await?;
    queue.until_gone(dead.lease).await?;
    let other = queue.as_kind(semaphore(2)?);
    let dead = other.attempt_for(short);
    granted(other.enter(&dead).await?);
    other.until_gone(dead.lease).await?;
    let taken = queue.client.acquire_free(&queue.name, short).await?;
    lost(other.renew(&dead).await?);
    assert_eq!(other.leave(&dead).await?, ReleaseOutcome::NotHeld);
    ctx.until_over(&queue.client, &queue.name).await?;
    let next = queue.attempt();
    assert!(granted(queue.enter(&next).await?).token > taken.token);
    lost(queue.client.renew(&queue.name, taken.lease, queue.ttl).await?);
    let released = queue.client.release(&queue.name, taken.lease).await?;
    assert_eq!(released, ReleaseOutcome::NotHeld);
    assert_eq!(queue.leases().await?, (vec![next.lease], vec![]));
    Ok(())
}

async fn one_kind_wins_a_free_name(ctx: Ctx) -> CaseResult {
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(QueueClient::open(&ctx, "job", LockKind::Fair).await?);
    }
    for round in 0..8 {
        // This counts the grants of each kind: exclusive, fair and semaphore.
        let grants: Arc<[AtomicU32; 3]> = Arc::default();
        let name = ctx.name(&format!("job {round}"));
        race((0..24).map(|number| {
            let client = QueueClient { name: name.clone(), ..clients[number % 4].clone() };
            let grants = grants.clone();
            async move {
                let kind = number % 3;
                let outcome = match kind {
                    0 => client.acquire().await,
                    1 => client.enter(&client.attempt()).await,
                    _ => {
                        let client = client.as_kind(semaphore(2)?);
                        client.enter(&client.attempt()).await
                    }
                };
                match outcome {
                    Ok(AcquireOutcome::Granted(_)) => {
                        grants[kind].fetch_add(1, Ordering::SeqCst);
                    }
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                }
                Ok(())
            }
        }))
        .await?;
        let grants = [0, 1, 2].map(|kind: usize| grants[kind].load(Ordering::SeqCst));
        let won = matches!(grants, [1, 0, 0] | [0, 1, 0] | [0, 0, 2]);
        assert!(
            won,
            "round {round}: grants of an exclusive lock, a fair one, a semaphore: {grants:?}"
        );
    }
    Ok(())
}

async fn tokens_increase_across_kinds(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let mut last: Option<FencingToken> = None;
    let mut rises = |token: FencingToken| {
        assert!(Some(token) > last, "{token} after {last:?}");
        last = Some(token);
    };
    for _ in 0..3 {
        let taken = queue.client.acquire_free(&queue.name, queue.ttl).await?;
        rises(taken.token);
        queue.client.release_held(&taken).await?;
        for kind in kinds()? {
            let asked = queue.as_kind(kind);
            let [first, second] = [asked.attempt(), asked.attempt()];
            rises(granted(asked.enter(&first).await?).token);
            rises(match asked.enter(&second).await? {
                AcquireOutcome::Queued(queued) => queued.token,
                outcome => granted(outcome).token,
            });
            asked.leave(&second).await?;
            asked.leave(&first).await?;
        }
    }
    let taken = queue.client.acquire_free(&queue.name, queue.ttl).await?;
    rises(taken.token);
    Ok(())
}
