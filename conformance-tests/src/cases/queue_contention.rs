//! Promise `queue-order`, while many clients use a queue at the same time: the capacity is never
//! exceeded, and the order of tokens is kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{AcquireOutcome, EnterOptions, FencingToken, LockKind, RenewOutcome};
use parking_lot::Mutex;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::queue_client::{QueueClient, semaphore};
use crate::expect::{granted, held, holds, queued};
use crate::{CaseResult, Ctx, race};

crate::case::cases! {
    QueueOrder: [
        contenders_of_a_fair_lock_hold_it_one_at_a_time_in_order[Queues],
        contenders_of_a_semaphore_never_exceed_its_permits[Queues],
        contenders_of_a_semaphore_of_one_permit_hold_it_one_at_a_time[Queues],
        readers_and_writers_never_hold_the_lock_together[Queues],
        concurrent_attempts_hold_the_lock_in_the_order_of_their_tokens[Queues],
        concurrent_attempts_that_do_not_wait_share_the_capacity[Queues],
    ],
    EntriesEnd: [
        contenders_are_not_held_up_by_those_that_die[Queues],
    ],
}

const CLIENTS: usize = 3;
const CONTENDERS: usize = 16;
const ROUNDS: usize = 3;

/// This is what the contenders know together. A holder is one that was told that it holds the lock
/// and has not begun to leave.
#[derive(Debug, Default)]
struct Inside {
    /// The weights of the holders sum up to this.
    weight: u64,
    /// The largest token of an entry that was told that it holds the lock.
    granted: Option<FencingToken>,
    /// A resource would accept tokens that are at least this: the largest floor of a holder.
    fence: Option<FencingToken>,
    sections: usize,
}

/// Enters the queue and waits until the entry holds the lock. Returns its token and the floor.
async fn wait_in_queue(
    queue: &QueueClient,
    attempt: &EnterOptions,
    inside: &Mutex<Inside>,
) -> CaseResult<(FencingToken, FencingToken)> {
    let mut granted_before = inside.lock().granted;
    let token = match queue.enter(attempt).await? {
        AcquireOutcome::Granted(grant) => return Ok((grant.token, grant.floor)),
        outcome => queued(outcome).token,
    };
    loop {
        // An entry with a larger token held the lock, so this one has to hold it too.
        assert!(granted_before < Some(token), "{granted_before:?} overtook {token}");
        sleep(Duration::from_millis(fastrand::u64(2..20))).await;
        granted_before = inside.lock().granted;
        match queue.renew(attempt).await? {
            RenewOutcome::Queued { .. } => {}
            outcome => return Ok((token, holds(outcome).1)),
        }
    }
}

/// Uses the lock once, with an entry of that weight.
async fn use_lock(queue: &QueueClient, weight: u32, inside: &Mutex<Inside>) -> CaseResult {
    let attempt = queue.attempt().with_weight(weight);
    let (token, floor) = wait_in_queue(queue, &attempt, inside).await?;
    {
        let mut inside = inside.lock();
        inside.weight += u64::from(weight);
        inside.granted = inside.granted.max(Some(token));
        inside.fence = inside.fence.max(Some(floor));
    }
    for _ in 0..3 {
        {
            let inside = inside.lock();
            let capacity = u64::from(queue.kind.capacity());
            assert!(inside.weight <= capacity, "{} of {capacity} are in use", inside.weight);
            assert!(inside.fence <= Some(token), "{token} is below the floor {:?}", inside.fence);
        }
        yield_now().await;
        sleep(Duration::from_millis(fastrand::u64(0..3))).await;
    }
    {
        let mut inside = inside.lock();
        inside.weight -= u64::from(weight);
        inside.sections += 1;
    }
    queue.leave(&attempt).await?;
    Ok(())
}

/// Lets contenders use the lock, of which each one's weight follows from its number.
async fn contend(ctx: &Ctx, kind: LockKind, weight: fn(usize) -> u32) -> CaseResult {
    let clients = open(ctx, kind).await?;
    let inside: Arc<Mutex<Inside>> = Arc::default();
    race((0..CONTENDERS).map(|number| {
        let (client, inside) = (clients[number % CLIENTS].clone(), inside.clone());
        async move {
            for round in 0..ROUNDS {
                use_lock(&client, weight(number + round), &inside).await?;
            }
            Ok(())
        }
    }))
    .await?;
    let sections = inside.lock().sections;
    assert_eq!(sections, CONTENDERS * ROUNDS);
    assert!(clients[0].queue().await?.entries.is_empty());
    Ok(())
}

async fn open(ctx: &Ctx, kind: LockKind) -> CaseResult<Vec<QueueClient>> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(QueueClient::open(ctx, "job", kind).await?);
    }
    Ok(clients)
}

async fn contenders_of_a_fair_lock_hold_it_one_at_a_time_in_order(ctx: Ctx) -> CaseResult {
    contend(&ctx, LockKind::Fair, |_| 1).await
}

async fn contenders_of_a_semaphore_of_one_permit_hold_it_one_at_a_time(ctx: Ctx) -> CaseResult {
    contend(&ctx, semaphore(1)?, |_| 1).await
}

async fn contenders_of_a_semaphore_never_exceed_its_permits(ctx: Ctx) -> CaseResult {
    const WEIGHTS: [u32; 5] = [1, 3, 1, 2, 5];
    contend(&ctx, semaphore(5)?, |number: usize| WEIGHTS[number % WEIGHTS.len()]).await
}

async fn readers_and_writers_never_hold_the_lock_together(ctx: Ctx) -> CaseResult {
    let weight = |number: usize| if number.is_multiple_of(4) { LockKind::WRITER_WEIGHT } else { 1 };
    contend(&ctx, LockKind::ReaderWriter, weight).await
}

async fn concurrent_attempts_hold_the_lock_in_the_order_of_their_tokens(ctx: Ctx) -> CaseResult {
    const PERMITS: usize = 3;
    let clients = open(&ctx, semaphore(3)?).await?;
    for round in 0..6 {
        let name = ctx.name(&format!("job {round}"));
        let mut outcomes = race((0..24).map(|number| {
            let queue = QueueClient { name: name.clone(), ..clients[number % CLIENTS].clone() };
            async move {
                let attempt = queue.attempt();
                Ok(match queue.enter(&attempt).await? {
                    AcquireOutcome::Granted(grant) => (grant.token, None, attempt.lease),
                    outcome => {
                        let queued = queued(outcome);
                        (queued.token, Some(queued.ahead), attempt.lease)
                    }
                })
            }
        }))
        .await?;
        outcomes.sort_unstable_by_key(|(token, ..)| *token);
        for (at, (token, ahead, _)) in outcomes.iter().enumerate() {
            // Nobody left in between, so the answer follows from the order alone.
            let expected = (at >= PERMITS).then_some(at);
            assert_eq!(*ahead, expected, "round {round}: {token} is entry {at}");
        }
        let tokens: BTreeSet<_> = outcomes.iter().map(|(token, ..)| *token).collect();
        assert_eq!(tokens.len(), outcomes.len(), "round {round}: a token came twice");
        let queue = QueueClient { name, ..clients[0].clone() };
        let (mut leases, waiting) = queue.leases().await?;
        leases.extend(waiting);
        let expected: Vec<_> = outcomes.iter().map(|(_, _, lease)| *lease).collect();
        assert_eq!(leases, expected, "round {round}");
    }
    Ok(())
}

async fn concurrent_attempts_that_do_not_wait_share_the_capacity(ctx: Ctx) -> CaseResult {
    let clients = open(&ctx, semaphore(3)?).await?;
    for round in 0..6 {
        let name = ctx.name(&format!("job {round}"));
        let grants = race((0..24).map(|number| {
            let queue = QueueClient { name: name.clone(), ..clients[number % CLIENTS].clone() };
            async move {
                match queue.enter(&queue.attempt().without_waiting()).await? {
                    AcquireOutcome::Granted(_) => Ok(1),
                    outcome => {
                        held(outcome);
                        Ok(0)
                    }
                }
            }
        }))
        .await?;
        assert_eq!(grants.iter().sum::<usize>(), 3, "round {round}");
        let queue = QueueClient { name, ..clients[0].clone() };
        assert_eq!(queue.queue().await?.entries.len(), 3, "round {round}");
    }
    Ok(())
}

/// Every third contender dies while it waits, or as soon as it holds the lock.
async fn contenders_are_not_held_up_by_those_that_die(ctx: Ctx) -> CaseResult {
    let clients = open(&ctx, LockKind::Fair).await?;
    let inside: Arc<Mutex<Inside>> = Arc::default();
    let (ttl, name) = (ctx.short_ttl(), ctx.name("job"));
    race((0..12).map(|number| {
        let client = QueueClient { name: name.clone(), ..clients[number % CLIENTS].clone() };
        let inside = inside.clone();
        async move {
            if number % 3 == 0 {
                sleep(Duration::from_millis(fastrand::u64(0..50))).await;
                client.enter(&client.attempt_for(ttl)).await?;
                return Ok(());
            }
            use_lock(&client, 1, &inside).await
        }
    }))
    .await?;
    assert_eq!(inside.lock().sections, 8);
    let last = clients[0].attempt();
    let outcome = clients[0].enter(&last).await?;
    if let AcquireOutcome::Queued(waiting) = outcome {
        // Only the dead are ahead.
        for entry in clients[0].queue().await?.entries {
            if entry.id != last.lease {
                clients[0].until_gone(entry.id).await?;
            }
        }
        let grant = granted(clients[0].enter(&last).await?);
        assert_eq!(grant.token, waiting.token);
        return Ok(());
    }
    granted(outcome);
    Ok(())
}
