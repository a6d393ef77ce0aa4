//! This part of each instance acquires locks, holds them for some time, and releases or drops
//! them, sometimes before it has acquired them.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Client, Clock, Guard, LockKind, LossReason, Result};

use super::instance::Instance;
use super::names::NameTable;
use crate::history::{Event, NameId};

/// Acquires locks until it is aborted. The names have these kinds, and numbers from `first` on.
pub(super) async fn acquire_locks(
    it: Arc<Instance>,
    client: Client,
    first: NameId,
    kinds: Vec<LockKind>,
) {
    loop {
        it.clock.sleep(it.up_to(Duration::from_secs(8))).await;
        let chosen = it.draw(u32::try_from(kinds.len()).unwrap_or(1).max(1)) as usize;
        let Some(kind) = kinds.get(chosen).copied() else { return };
        let name = first + chosen;
        // A call without time makes a single try. Only those on queues are drawn: in an exclusive
        // lock they would be refused because of the client's own waiters.
        let tries_once = kind.has_queue() && it.draw(8) == 0;
        let limit = if tries_once { Duration::ZERO } else { it.up_to(Duration::from_secs(20)) };
        let drop_after = it.up_to(Duration::from_secs(30));
        it.note(Event::WaitStarted(it.id, name));
        let waiting = OnDrop(&it, [Event::WaitEnded(it.id, name)]);
        let taken = tokio::select! {
            biased;
            taken = acquire(&it, &client, name, kind, limit) => taken,
            // This drops the call before it has ended.
            () = it.clock.sleep(drop_after) => continue,
        };
        drop(waiting);
        if let Ok(guard) = taken {
            hold_lock(&it, name, guard).await;
        }
    }
}

/// Acquires a lock of that kind.
async fn acquire(
    it: &Instance,
    client: &Client,
    name: NameId,
    kind: LockKind,
    limit: Duration,
) -> Result<Guard> {
    let name = NameTable::name(name);
    match kind {
        LockKind::Fair => client.fair_lock(name)?.acquire(limit).await,
        LockKind::Semaphore(permits) => {
            let semaphore = client.semaphore(name, permits.get())?;
            semaphore.acquire_many(1 + it.draw(permits.get()), limit).await
        }
        LockKind::ReaderWriter if it.draw(3) == 0 => client.rw_lock(name)?.write(limit).await,
        LockKind::ReaderWriter => client.rw_lock(name)?.read(limit).await,
        // Only elections have leaders.
        LockKind::Exclusive | LockKind::Leaders(_) => client.lock(name)?.acquire(limit).await,
    }
}

/// Records these events when it is dropped, also when its task is aborted.
struct OnDrop<'a, const N: usize>(&'a Instance, [Event; N]);

impl<const N: usize> Drop for OnDrop<'_, N> {
    fn drop(&mut self) {
        self.1.iter().for_each(|event| self.0.note(event.clone()));
    }
}

async fn hold_lock(it: &Instance, name: NameId, guard: Guard) {
    let token = guard.token().get();
    it.note(Event::GuardAcquired(it.id, name, token));
    // The caller no longer relies on a lease from the call of release on.
    let over = [Event::TrustEnded(it.id, name, token), Event::GuardReleased(it.id, name, token)];
    let held = OnDrop(it, over);
    tokio::select! {
        biased;
        () = record_loss(it, name, &guard) => {}
        () = record_trust(it, name, &guard) => {}
        () = work(it, name, &guard) => {}
    }
    drop(held);
    if it.draw(2) == 0 {
        let _ = guard.release().await;
    }
}

/// Writes for as long as the lock is held. Some callers keep the guard after they were told that
/// the lock is lost.
async fn work(it: &Instance, name: NameId, guard: &Guard) {
    let obeys = it.draw(4) != 0;
    for _ in 0..it.draw(20) {
        if guard.is_held() {
            it.write(name, guard.token().get(), guard.floor().get()).await;
        } else if obeys {
            return;
        }
        tokio::select! {
            biased;
            _ = guard.lost(), if obeys => return,
            () = it.clock.sleep(it.up_to(Duration::from_secs(2))) => {}
        }
    }
}

/// Records when the guard reports that its lease is lost. It does not return.
async fn record_loss(it: &Instance, name: NameId, guard: &Guard) {
    let why = match guard.lost().await {
        LossReason::Expired => "expired",
        LossReason::Gone => "gone",
        LossReason::Disabled { .. } => "disabled",
        _ => "something else",
    };
    it.note(Event::GuardLost(it.id, name, guard.token().get(), why));
    std::future::pending::<()>().await;
}

/// Records until when the lease is trusted, whenever that changes. It does not return, and is not a
/// part of the instance. A guard does not report its deadline, so it is asked whenever that may
/// have changed.
async fn record_trust(it: &Instance, name: NameId, guard: &Guard) {
    let mut last = None;
    loop {
        let left = guard.remaining();
        let deadline = (!left.is_zero()).then(|| it.clock.now() + left);
        if let Some(deadline) = deadline.filter(|deadline| last != Some(*deadline)) {
            last = Some(deadline);
            let until = it.clock.outside(deadline);
            it.note(Event::TrustExtended(it.id, name, guard.token().get(), until));
        }
        it.link.heartbeat_answered().await;
        // The heartbeat gives the answer to the guard's lease at the same virtual time.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }
}
