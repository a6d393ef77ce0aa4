use futures_util::FutureExt;

use super::*;
use crate::LockState;

/// Returns the hints that have arrived.
fn hints(stream: &mut HintStream) -> Vec<Hint> {
    std::iter::from_fn(|| stream.next().now_or_never().flatten()).collect()
}

#[tokio::test(start_paused = true)]
async fn leaving_grants_the_lock_to_the_next_and_hints_only_at_it() {
    let name = Name::new();
    let entries = [permits(2, 2), permits(1, 2), permits(1, 2), permits(1, 2)];
    granted(name.enter(&entries[0]).await);
    for waiter in &entries[1..] {
        queued(name.enter(waiter).await);
    }
    let mut watch = name.store.watch().await.unwrap();
    assert_eq!(name.leave(&entries[0]).await, ReleaseOutcome::Released);
    let next = vec![entries[1].lease, entries[2].lease];
    assert_eq!(hints(&mut watch), [Hint::Entries(name.name.clone(), next.clone())]);
    assert_eq!(name.holding().await, next);
    assert_eq!(name.queue().await.waiters()[0].id, entries[3].lease);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_frees_nothing_unless_it_held_others_up() {
    let name = Name::new();
    let [holder, heavy, light] = [permits(1, 2), permits(2, 2), permits(1, 2)];
    granted(name.enter(&holder).await);
    queued(name.enter(&heavy).await);
    let last = permits(2, 2);
    queued(name.enter(&light).await);
    queued(name.enter(&last).await);
    let mut watch = name.store.watch().await.unwrap();
    name.leave(&last).await;
    assert_eq!(hints(&mut watch), []);
    name.leave(&heavy).await;
    assert_eq!(hints(&mut watch), [Hint::Entries(name.name.clone(), vec![light.lease])]);
    assert_eq!(name.holding().await, [holder.lease, light.lease]);
}

#[tokio::test(start_paused = true)]
async fn the_last_entry_leaves_a_free_name() {
    let name = Name::new();
    let only = fair();
    let token = granted(name.enter(&only).await).token;
    let mut watch = name.store.watch().await.unwrap();
    assert_eq!(name.leave(&only).await, ReleaseOutcome::Released);
    assert_eq!(hints(&mut watch), [Hint::Name(name.name.clone())]);
    let record = name.record().await;
    assert_eq!((record.state(), record.token), (LockState::Free, Some(token)));
    assert_eq!((record.kind, record.queue), (LockKind::Exclusive, None));
}

#[tokio::test(start_paused = true)]
async fn only_a_live_entry_leaves() {
    let name = Name::new();
    let (first, second) = (fair(), fair());
    assert_eq!(name.leave(&first).await, ReleaseOutcome::NotHeld);
    granted(name.enter(&first).await);
    queued(name.enter(&second).await);
    let mut watch = name.store.watch().await.unwrap();
    assert_eq!(name.leave(&fair()).await, ReleaseOutcome::NotHeld);
    assert_eq!(name.leave(&first).await, ReleaseOutcome::Released);
    hints(&mut watch);
    assert_eq!(name.leave(&first).await, ReleaseOutcome::NotHeld);
    pass(20).await;
    assert_eq!(name.leave(&second).await, ReleaseOutcome::NotHeld);
    assert_eq!(hints(&mut watch), []);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_released_and_an_entry_leaves() {
    let name = Name::new();
    let entry = fair();
    granted(name.enter(&entry).await);
    let outcome = name.store.release(&name.name, entry.lease).await.unwrap();
    assert_eq!(outcome, ReleaseOutcome::NotHeld);
    assert_eq!(name.holding().await, [entry.lease]);
    name.leave(&entry).await;
    let lease = AcquireOptions::new(LeaseId::new(), Holder::current(), TTL);
    name.store.acquire(&name.name, &lease).await.unwrap();
    let outcome = name.store.leave(&name.name, lease.lease).await.unwrap();
    assert_eq!(outcome, ReleaseOutcome::NotHeld);
    assert_eq!(name.record().await.lease.map(|lease| lease.id), Some(lease.lease));
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_expired_holds_nobody_up_and_is_not_revived() {
    let name = Name::new();
    let [first, second, third] = [fair(), fair(), fair()];
    let old = granted(name.enter(&first).await);
    queued(name.enter(&second).await);
    pass(10).await;
    name.renew(&second).await;
    assert_eq!(queued(name.enter(&third).await).recheck, Duration::from_secs(10));
    pass(10).await;
    assert_eq!(name.holding().await, [second.lease]);
    assert_eq!(name.renew(&first).await, RenewOutcome::Lost);
    // It enters again at the end, under a larger token.
    let waiter = queued(name.enter(&first).await);
    assert_eq!(waiter.ahead, 2);
    assert!(waiter.token > old.token);
}

#[tokio::test(start_paused = true)]
async fn a_name_with_entries_is_not_pruned() {
    let name = Name::new();
    let entry = fair();
    granted(name.enter(&entry).await);
    let all = PruneOptions::default().with_unused_for(Duration::ZERO).with_dry_run(false);
    assert_eq!(name.store.prune(&all).await.unwrap(), []);
    let recent = all.clone().with_unused_for(TTL * 2);
    pass(20).await;
    assert_eq!(name.store.prune(&recent).await.unwrap(), []);
    assert_eq!(name.store.prune(&all).await.unwrap(), std::slice::from_ref(&name.name));
}
