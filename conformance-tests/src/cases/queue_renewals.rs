//! Promises `renew-only-in-force` and `one-answer-per-lease`, for the entries of queues.

use std::collections::BTreeMap;
use std::time::Instant;

use leasehold_core::{EnterOptions, LeaseId, LockKind, RenewOptions, RenewOutcome};

use super::queue_client::{QueueClient, semaphore};
use crate::expect::{granted, holds, lost, queued, waits};
use crate::{CaseResult, Client, Ctx, Failure, HeldLease};

crate::case::cases! {
    RenewOnlyInForce: [
        renewals_extend_holders_and_waiters[Queues],
        a_renewed_waiter_outlives_its_first_ttl[Queues],
        a_renewal_of_an_entry_creates_and_extends_nothing_else[Queues],
    ],
    OneAnswerPerLease: [
        leases_and_entries_of_a_batch_are_answered_in_order[Queues],
        the_entries_of_one_queue_are_renewed_in_one_batch[Queues],
        an_entry_is_renewed_as_an_entry_and_a_lease_as_a_lease[Queues],
    ],
    OneRoundTrip: [
        round_trips_of_a_batch_of_entries_do_not_grow_with_its_size[Queues, RoundTrips],
    ],
}

/// A batch of entries may take as many round trips as this: two where the server's operations
/// require it, and another one for data that does not fit.
const BATCH_BUDGET: u64 = 3;

async fn renewals_extend_holders_and_waiters(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let [first, second] = [queue.attempt(), queue.attempt()];
    let token = granted(queue.enter(&first).await?).token;
    queued(queue.enter(&second).await?);
    let doubled = ctx.in_steps(queue.ttl * 2);
    let (left, floor) = holds(queue.renew_for(first.lease, doubled).await?);
    assert!(left > queue.ttl && left <= doubled, "{left:?} of {doubled:?} left");
    assert_eq!(floor, token);
    let (left, ahead, recheck) = waits(queue.renew_for(second.lease, doubled).await?);
    assert!(left > queue.ttl && left <= doubled, "{left:?} of {doubled:?} left");
    assert!(recheck > queue.ttl && recheck <= doubled, "nothing expires within {recheck:?}");
    assert_eq!(ahead, 1);
    for entry in queue.queue().await?.entries {
        assert!(entry.left > queue.ttl && entry.left <= doubled, "{:?} left", entry.left);
    }
    // A shorter ttl counts from now, too.
    let (left, _) = holds(queue.renew_for(first.lease, queue.ttl).await?);
    assert!(left <= queue.ttl, "{left:?}");
    assert!(queue.queue().await?.entries[0].left <= queue.ttl);
    Ok(())
}

/// Renews a waiter for two ttls, or reports that the machine stalled for too long.
async fn waiter_outlives_its_first_ttl(queue: &QueueClient) -> CaseResult<bool> {
    let begun = Instant::now();
    let [holder, waiter] = [queue.attempt(), queue.attempt()];
    queue.enter(&holder).await?;
    queue.enter(&waiter).await?;
    let mut live_until = begun + queue.ttl;
    while begun.elapsed() < queue.ttl * 2 {
        let asked = Instant::now();
        let outcomes = (queue.renew(&holder).await?, queue.renew(&waiter).await?);
        if Instant::now() > live_until {
            return Ok(false);
        }
        live_until = asked + queue.ttl;
        match outcomes {
            (RenewOutcome::Extended { .. }, RenewOutcome::Queued { ahead: 1, .. }) => {}
            other => return Err(Failure::new(format!("unexpected answers: {other:?}"))),
        }
        tokio::time::sleep(queue.ttl / 6).await;
    }
    Ok(true)
}

async fn a_renewed_waiter_outlives_its_first_ttl(ctx: Ctx) -> CaseResult {
    let opened = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    for attempt in 0..6 {
        // The entries last longer at each attempt, because the machine stalled for too long.
        let ttl = ctx.in_steps(ctx.short_ttl() * 3 * 2_u32.pow(attempt));
        let name = ctx.name(&format!("job {attempt}"));
        let queue = QueueClient { ttl, name, ..opened.clone() };
        if waiter_outlives_its_first_ttl(&queue).await? {
            return Ok(());
        }
    }
    Err(Failure::new("this machine stalled for longer than a ttl six times"))
}

async fn a_renewal_of_an_entry_creates_and_extends_nothing_else(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", semaphore(2)?).await?;
    lost(queue.renew_for(LeaseId::new(), queue.ttl).await?);
    assert_eq!(queue.client.get(&queue.name).await?, None, "a renewal creates no record");
    let [first, second] = [queue.attempt(), queue.attempt()];
    granted(queue.enter(&first).await?);
    granted(queue.enter(&second).await?);
    let doubled = ctx.in_steps(queue.ttl * 2);
    lost(queue.renew_for(LeaseId::new(), doubled).await?);
    let other = QueueClient { name: ctx.name("other"), ..queue.clone() };
    lost(other.renew_for(first.lease, doubled).await?);
    holds(queue.renew_for(second.lease, doubled).await?);
    let entries = queue.queue().await?.entries;
    assert_eq!(entries.len(), 2);
    assert!(entries[0].left <= queue.ttl, "another's renewal extended it: {:?}", entries[0].left);
    queue.leave(&first).await?;
    // This heartbeat was sent before the entry left.
    lost(queue.renew_for(first.lease, doubled).await?);
    assert_eq!(queue.leases().await?, (vec![second.lease], vec![]));
    Ok(())
}

/// Describes the renewal of an entry.
fn entry(queue: &QueueClient, attempt: &EnterOptions) -> RenewOptions {
    RenewOptions::new(queue.name.clone(), attempt.lease, queue.ttl).of_entry(true)
}

fn lease(taken: &HeldLease, client: &QueueClient) -> RenewOptions {
    RenewOptions::new(taken.name.clone(), taken.lease, client.ttl)
}

async fn leases_and_entries_of_a_batch_are_answered_in_order(ctx: Ctx) -> CaseResult {
    const NAMES: usize = 24;
    let opened = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let (mut batch, mut expected) = (Vec::new(), BTreeMap::new());
    for number in 0..NAMES {
        // The order of names differs from that of the batch.
        let name = ctx.name(&format!("job {}", (number * 7) % NAMES));
        let queue = QueueClient { name, ..opened.clone() };
        match number % 4 {
            0 => {
                let taken = queue.client.acquire_free(&queue.name, queue.ttl).await?;
                batch.push(lease(&taken, &queue));
                expected.insert(taken.lease, "a lease");
            }
            1 => {
                let [first, second] = [queue.attempt(), queue.attempt()];
                granted(queue.enter(&first).await?);
                queued(queue.enter(&second).await?);
                batch.extend([entry(&queue, &second), entry(&queue, &first)]);
                expected.extend([(second.lease, "waits"), (first.lease, "holds")]);
            }
            2 => {
                let gone = queue.attempt();
                granted(queue.enter(&gone).await?);
                queue.leave(&gone).await?;
                batch.push(entry(&queue, &gone));
                expected.insert(gone.lease, "lost");
            }
            _ => {
                let ending = queue.attempt();
                granted(queue.enter(&ending).await?);
                queue.disable("upkeep").await?;
                batch.push(entry(&queue, &ending));
                expected.insert(ending.lease, "disabled");
            }
        }
    }
    let outcomes = opened.client.store().renew(&batch).await?;
    assert_eq!(outcomes.len(), batch.len());
    for (at, (renewal, outcome)) in batch.iter().zip(&outcomes).enumerate() {
        let found = match outcome {
            RenewOutcome::Extended { floor: None, .. } => "a lease",
            RenewOutcome::Extended { floor: Some(_), .. } => "holds",
            RenewOutcome::Queued { .. } => "waits",
            RenewOutcome::Disabled { .. } => "disabled",
            RenewOutcome::Lost => "lost",
            RenewOutcome::Unknown { .. } => "unknown",
        };
        let expected = expected.get(&renewal.lease).copied();
        assert_eq!(Some(found), expected, "answer {at}: {outcome:?}");
    }
    Ok(())
}

async fn the_entries_of_one_queue_are_renewed_in_one_batch(ctx: Ctx) -> CaseResult {
    const ENTRIES: usize = 20;
    let queue = QueueClient::open(&ctx, "job", semaphore(7)?).await?;
    let mut batch = Vec::new();
    for _ in 0..ENTRIES {
        let attempt = queue.attempt();
        queue.enter(&attempt).await?;
        batch.push(entry(&queue, &attempt));
    }
    // The last entries come first.
    batch.reverse();
    let doubled = ctx.in_steps(queue.ttl * 2);
    batch.iter_mut().for_each(|renewal| renewal.ttl = doubled);
    let outcomes = queue.client.store().renew(&batch).await?;
    for (at, outcome) in outcomes.into_iter().rev().enumerate() {
        if at < 7 {
            holds(outcome);
        } else {
            assert_eq!(waits(outcome).1, at);
        }
    }
    let entries = queue.queue().await?.entries;
    assert_eq!(entries.len(), ENTRIES);
    assert!(entries.iter().all(|entry| entry.left > queue.ttl), "one was not extended");
    Ok(())
}

async fn an_entry_is_renewed_as_an_entry_and_a_lease_as_a_lease(ctx: Ctx) -> CaseResult {
    let queue = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let attempt = queue.attempt();
    granted(queue.enter(&attempt).await?);
    let taken = queue.client.acquire_free(&ctx.name("lease"), queue.ttl).await?;
    let doubled = ctx.in_steps(queue.ttl * 2);
    let mut wrong = [entry(&queue, &attempt).of_entry(false), lease(&taken, &queue).of_entry(true)];
    wrong.iter_mut().for_each(|renewal| renewal.ttl = doubled);
    let outcomes = queue.client.store().renew(&wrong).await?;
    assert_eq!(outcomes, [RenewOutcome::Lost, RenewOutcome::Lost]);
    assert!(queue.queue().await?.entries[0].left <= queue.ttl);
    let left = queue.client.lease_of(&taken.name).await?.map(|lease| lease.left);
    assert!(left <= Some(queue.ttl), "{left:?}");
    Ok(())
}

async fn round_trips_of_a_batch_of_entries_do_not_grow_with_its_size(ctx: Ctx) -> CaseResult {
    const TRIES: usize = 20;
    let probes = ctx.backend().probes();
    let no_probe = || Failure::new("the backend lacks this probe");
    let probe = probes.round_trips.ok_or_else(no_probe)?;
    let client = Client::new(probe.open_counted(ctx.namespace()).await?);
    let opened = QueueClient::open(&ctx, "job", LockKind::Fair).await?;
    let opened = QueueClient { client, ..opened };
    let mut batch = Vec::new();
    for number in 0..ctx.capabilities().renew_batch.min(200) {
        let name = ctx.name(&format!("job {}", number / 2));
        let queue = QueueClient { name, ..opened.clone() };
        let attempt = queue.attempt();
        queue.enter(&attempt).await?;
        batch.push(entry(&queue, &attempt));
    }
    let mut least = u64::MAX;
    for number in 0..TRIES {
        if number >= 5 && least <= BATCH_BUDGET {
            break;
        }
        let before = probe.counted(ctx.namespace()).await?;
        let outcomes = opened.client.store().renew(&batch).await?;
        least = least.min(probe.counted(ctx.namespace()).await? - before);
        for (at, outcome) in outcomes.into_iter().enumerate() {
            if at % 2 == 0 {
                holds(outcome);
            } else {
                waits(outcome);
            }
        }
    }
    let count = batch.len();
    assert!(least <= BATCH_BUDGET, "renewing {count} entries took {least} round trips");
    Ok(())
}
