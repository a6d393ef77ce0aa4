use super::*;
use crate::LockState;

#[tokio::test(start_paused = true)]
async fn holders_and_waiters_are_extended_and_told_their_standing() {
    let name = Name::new();
    let (first, second) = (fair(), fair());
    let floor = granted(name.enter(&first).await).token;
    queued(name.enter(&second).await);
    pass(15).await;
    let left = Duration::from_secs(5);
    assert_eq!(name.renew(&second).await, RenewOutcome::queued(TTL, 1, left));
    assert_eq!(name.renew(&first).await, RenewOutcome::extended_entry(TTL, floor));
    assert_eq!(name.renew(&second).await, RenewOutcome::queued(TTL, 1, TTL));
    name.leave(&first).await;
    let floor = name.queue().await.floor().unwrap();
    assert_eq!(name.renew(&second).await, RenewOutcome::extended_entry(TTL, floor));
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_one_outcome_for_each_lease_and_each_entry() {
    let name = Name::new();
    let (first, second) = (fair(), fair());
    let floor = granted(name.enter(&first).await).token;
    queued(name.enter(&second).await);
    let other = LockName::new("other").unwrap();
    let lease = AcquireOptions::new(LeaseId::new(), Holder::current(), TTL);
    name.store.acquire(&other, &lease).await.unwrap();
    let entry = |lease| RenewOptions::new(name.name.clone(), lease, TTL).of_entry(true);
    let exclusive = RenewOptions::new(other, lease.lease, TTL);
    let batch = [
        entry(second.lease),
        exclusive.clone(),
        entry(LeaseId::new()),
        entry(first.lease),
        // The lease of an exclusive lock is not an entry, and the other way round.
        exclusive.of_entry(true),
        entry(first.lease).of_entry(false),
    ];
    let expected = [
        RenewOutcome::queued(TTL, 1, TTL),
        RenewOutcome::extended(TTL),
        RenewOutcome::Lost,
        RenewOutcome::extended_entry(TTL, floor),
        RenewOutcome::Lost,
        RenewOutcome::Lost,
    ];
    assert_eq!(name.store.renew(&batch).await.unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_disable_tells_holders_and_waiters_to_leave() {
    let name = Name::new();
    let (first, second) = (fair(), fair());
    granted(name.enter(&first).await);
    queued(name.enter(&second).await);
    pass(5).await;
    name.disable("upkeep").await;
    let left = TTL - Duration::from_secs(5);
    let told = RenewOutcome::disabled(Reason::new("upkeep").unwrap(), left);
    assert_eq!(name.renew(&first).await, told);
    assert_eq!(name.renew(&second).await, told);
    let record = name.record().await;
    assert_eq!(record.state(), LockState::Ending);
    // They stay until they leave, also after the name is enabled again.
    name.enable().await;
    assert_eq!(name.renew(&first).await, told);
    let third = fair();
    assert_eq!(queued(name.enter(&third).await).ahead, 2);
    assert_eq!(name.renew(&third).await, RenewOutcome::queued(TTL, 2, left));
    // The reason of the latest disable applies.
    name.disable("again").await;
    let told = RenewOutcome::disabled(Reason::new("again").unwrap(), left);
    assert_eq!(name.renew(&first).await, told);
}

#[tokio::test(start_paused = true)]
async fn a_ttl_out_of_bounds_is_refused_and_nothing_is_extended() {
    let name = Name::new();
    let first = fair();
    granted(name.enter(&first).await);
    pass(5).await;
    let renewal = |ttl| RenewOptions::new(name.name.clone(), first.lease, ttl).of_entry(true);
    let batch = [renewal(TTL), renewal(Duration::ZERO)];
    assert!(name.store.renew(&batch).await.unwrap_err().is_invalid());
    assert_eq!(name.queue().await.entries[0].left, TTL - Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_record_shows_the_queue() {
    let name = Name::new();
    let [first, second, third] = [permits(1, 2), permits(1, 2), permits(1, 2)];
    for entry in [&first, &second, &third] {
        name.enter(entry).await;
        pass(1).await;
    }
    let record = name.record().await;
    assert_eq!(record.kind, LockKind::semaphore(2).unwrap());
    assert_eq!((record.state(), record.lease.is_none()), (LockState::Held, true));
    let queue = record.queue.unwrap();
    assert_eq!((queue.entries.len(), queue.holding), (3, 2));
    assert_eq!(record.token, queue.entries.last().map(|entry| entry.token));
    let shown: Vec<_> = queue.entries.iter().map(|e| (e.id, e.entered.as_secs())).collect();
    assert_eq!(shown, [(first.lease, 3), (second.lease, 2), (third.lease, 1)]);
    assert_eq!(queue.entries[2].left, TTL - Duration::from_secs(1));
    assert_eq!(name.store.list_all("").await.unwrap()[0].queue, Some(queue));
}
