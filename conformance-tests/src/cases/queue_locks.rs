//! Fair locks, semaphores and reader/writer locks as applications use them, with time limits,
//! cancelled calls and dropped guards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use leasehold_core::{Client, MAX_TTL, Position, QueueRecord, Semaphore, Settings};
use parking_lot::Mutex;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::engine::{client, ttl};
use crate::{CaseResult, Ctx, Failure, race, spawn};

crate::case::cases! {
    QueueOrder: [
        clients_hold_a_fair_lock_one_at_a_time_in_order[Queues],
        clients_share_the_permits_of_a_semaphore[Queues],
        a_writer_gets_its_turn_among_readers_that_never_stop[Queues],
        a_waiting_call_is_told_its_position[Queues],
    ],
    NothingLeftHeld: [
        cancelled_calls_leave_no_permit_in_use[Queues],
        a_dropped_guard_releases_its_permits[Queues],
        a_dropped_waiter_holds_up_nobody[Queues],
    ],
}

/// An unused lock may stay held for this long.
pub(super) const SOON: Duration = Duration::from_secs(60);

/// Returns settings with which leases do not expire within a case, although waiters look often.
pub(super) fn without_expiry(ctx: &Ctx) -> Settings {
    let often = ttl(ctx) / 5;
    Settings::new().ttl(ctx.long_ttl()).heartbeat_interval(often).poll_interval(often)
}

/// Waits until the queue of the lock `job` satisfies the condition, and returns it.
pub(super) async fn until_queue(
    client: &Client,
    condition: impl Fn(&QueueRecord) -> bool,
) -> CaseResult<QueueRecord> {
    let wait = async {
        loop {
            let record = client.status("job").await?;
            let empty = || QueueRecord::new(record.kind, Vec::new());
            let queue = record.queue.clone().unwrap_or_else(empty);
            if condition(&queue) {
                return Ok::<_, Failure>(queue);
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = timeout(SOON * 2, wait).await;
    waited.unwrap_or_else(|_| Err(Failure::new("the queue does not become what it should be")))
}

async fn clients_hold_a_fair_lock_one_at_a_time_in_order(ctx: Ctx) -> CaseResult {
    let (inside, last) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(client(&ctx).await?);
    }
    let without_expiry = without_expiry(&ctx);
    race((0..12).map(|number| {
        let (client, without_expiry) = (clients[number % 4].clone(), without_expiry.clone());
        let (inside, last) = (inside.clone(), last.clone());
        async move {
            for _ in 0..3 {
                let guard =
                    client.fair_lock("job")?.settings(&without_expiry)?.acquire(MAX_TTL).await?;
                assert_eq!(inside.lock().replace(number), None, "two are inside");
                let before = last.lock().replace(guard.token());
                assert!(before < Some(guard.token()), "{} after {before:?}", guard.token());
                yield_now().await;
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

async fn clients_share_the_permits_of_a_semaphore(ctx: Ctx) -> CaseResult {
    const PERMITS: u32 = 4;
    let used = Arc::new(AtomicU32::new(0));
    let mut semaphores: Vec<Semaphore> = Vec::new();
    for _ in 0..4 {
        semaphores
            .push(client(&ctx).await?.semaphore("job", PERMITS)?.settings(&without_expiry(&ctx))?);
    }
    race((0..12_u32).zip(semaphores.into_iter().cycle()).map(|(number, semaphore)| {
        let used = used.clone();
        async move {
            for round in 0..3 {
                let permits = 1 + (number + round) % PERMITS;
                let guard = semaphore.acquire_many(permits, MAX_TTL).await?;
                let before = used.fetch_add(permits, Ordering::SeqCst);
                assert!(before + permits <= PERMITS, "{before} + {permits} of {PERMITS} in use");
                assert!(guard.floor() <= guard.token());
                yield_now().await;
                assert!(guard.is_held());
                used.fetch_sub(permits, Ordering::SeqCst);
                guard.release().await?;
            }
            Ok(())
        }
    }))
    .await?;
    Ok(())
}

async fn a_writer_gets_its_turn_among_readers_that_never_stop(ctx: Ctx) -> CaseResult {
    let stop = Arc::new(AtomicBool::new(false));
    let (readers, writing) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let lock = client(&ctx).await?.rw_lock("job")?.settings(&without_expiry(&ctx))?;
        let (stop, readers, writing) = (stop.clone(), readers.clone(), writing.clone());
        tasks.push(spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let guard = lock.read(MAX_TTL).await?;
                readers.fetch_add(1, Ordering::SeqCst);
                assert!(!writing.load(Ordering::SeqCst), "a reader beside a writer");
                sleep(Duration::from_millis(fastrand::u64(5..40))).await;
                readers.fetch_sub(1, Ordering::SeqCst);
                guard.release().await?;
            }
            Ok(())
        }));
    }
    let lock = client(&ctx).await?.rw_lock("job")?.settings(&without_expiry(&ctx))?;
    for _ in 0..4 {
        let guard = lock.write(SOON).await?;
        writing.store(true, Ordering::SeqCst);
        assert_eq!(readers.load(Ordering::SeqCst), 0, "a writer beside readers");
        yield_now().await;
        writing.store(false, Ordering::SeqCst);
        guard.release().await?;
    }
    stop.store(true, Ordering::SeqCst);
    for task in tasks {
        task.join().await?;
    }
    Ok(())
}

async fn a_waiting_call_is_told_its_position(ctx: Ctx) -> CaseResult {
    let (first, second) = (client(&ctx).await?, client(&ctx).await?);
    let held = first.fair_lock("job")?.settings(&without_expiry(&ctx))?.acquire(SOON).await?;
    let lock = second.fair_lock("job")?.settings(&without_expiry(&ctx))?;
    let told: Arc<Mutex<Vec<usize>>> = Arc::default();
    let waiting = spawn({
        let told = told.clone();
        async move {
            let tell = move |position: Position| told.lock().push(position.ahead);
            Ok(lock.acquire_with(MAX_TTL, tell).await?)
        }
    });
    until_queue(&first, |queue| queue.waiters().len() == 1).await?;
    held.release().await?;
    waiting.join().await?.release().await?;
    assert_eq!(told.lock().first(), Some(&1));
    Ok(())
}

async fn cancelled_calls_leave_no_permit_in_use(ctx: Ctx) -> CaseResult {
    let (holder, other) = (client(&ctx).await?, client(&ctx).await?);
    // A permit that is left in use would stay so for longer than the case waits.
    let long = Settings::new().ttl(ctx.long_ttl());
    let held = holder.semaphore("job", 3)?.settings(&long)?.acquire_many(2, SOON).await?;
    let semaphore = other.semaphore("job", 3)?.settings(&long)?;
    for round in 0..40 {
        // One permit is free, so the call or its guard is dropped at any point. Two are not.
        let limit = Duration::from_micros(round * 50);
        let permits = 1 + u32::from(round % 2 == 0);
        drop(timeout(limit, semaphore.acquire_many(permits, SOON)).await);
        drop(timeout(limit, semaphore.try_acquire()).await);
    }
    held.release().await?;
    let all = semaphore.acquire_many(3, SOON).await?;
    assert!(all.is_held());
    Ok(all.release().await?)
}

async fn a_dropped_guard_releases_its_permits(ctx: Ctx) -> CaseResult {
    let (first, second) = (client(&ctx).await?, client(&ctx).await?);
    let long = Settings::new().ttl(ctx.long_ttl());
    let guard = first.semaphore("job", 3)?.settings(&long)?.acquire_many(2, SOON).await?;
    let token = guard.token();
    drop(guard);
    let all = second.semaphore("job", 3)?.settings(&long)?.acquire_many(3, SOON).await?;
    assert!(all.token() > token && all.floor() == all.token());
    Ok(all.release().await?)
}

/// A call that is dropped while it waits, or has just got the lock, gives up its entry.
async fn a_dropped_waiter_holds_up_nobody(ctx: Ctx) -> CaseResult {
    let (holder, waiter, behind) = (client(&ctx).await?, client(&ctx).await?, client(&ctx).await?);
    let long = Settings::new().ttl(ctx.long_ttl());
    let held = holder.fair_lock("job")?.settings(&long)?.acquire(SOON).await?;
    let lock = waiter.fair_lock("job")?.settings(&long)?;
    let dropped = spawn(async move { Ok(lock.acquire(MAX_TTL).await?) });
    until_queue(&holder, |queue| queue.waiters().len() == 1).await?;
    let lock = behind.fair_lock("job")?.settings(&without_expiry(&ctx))?;
    let next = spawn(async move { Ok(lock.acquire(MAX_TTL).await?) });
    until_queue(&holder, |queue| queue.waiters().len() == 2).await?;
    drop(dropped);
    until_queue(&holder, |queue| queue.waiters().len() == 1).await?;
    held.release().await?;
    let next = next.join().await?;
    assert!(next.is_held());
    Ok(next.release().await?)
}
