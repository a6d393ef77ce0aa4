use super::*;
use crate::MAX_ENTRIES;

#[tokio::test(start_paused = true)]
async fn the_first_entries_hold_the_lock_and_the_others_wait() {
    let name = Name::new();
    let [first, second, third] = [permits(1, 2), permits(1, 2), permits(2, 2)];
    let first_grant = granted(name.enter(&first).await);
    assert_eq!((first_grant.left, first_grant.floor), (TTL, first_grant.token));
    pass(5).await;
    let second_grant = granted(name.enter(&second).await);
    assert!(second_grant.token > first_grant.token);
    assert_eq!(second_grant.floor, first_grant.token);
    pass(1).await;
    let waiter = queued(name.enter(&third).await);
    assert!(waiter.token > second_grant.token);
    assert_eq!((waiter.left, waiter.ahead), (TTL, 2));
    // The first entry expires first.
    assert_eq!(waiter.recheck, TTL - Duration::from_secs(6));
    assert_eq!(waiter.held.holder, first.holder);
    assert_eq!((waiter.held.token, waiter.held.left), (first_grant.token, waiter.recheck));
    assert_eq!(name.holding().await, [first.lease, second.lease]);
}

#[tokio::test(start_paused = true)]
async fn an_entry_waits_behind_a_heavier_one_although_it_would_fit() {
    let name = Name::new();
    granted(name.enter(&permits(2, 3)).await);
    queued(name.enter(&permits(2, 3)).await);
    assert_eq!(queued(name.enter(&permits(1, 3)).await).ahead, 2);
}

#[tokio::test(start_paused = true)]
async fn readers_hold_together_and_a_writer_alone_in_order_of_arrival() {
    let name = Name::new();
    let reader = || attempt(LockKind::ReaderWriter);
    let writer = || reader().with_weight(LockKind::WRITER_WEIGHT);
    let readers = [reader(), reader()];
    for reader in &readers {
        granted(name.enter(reader).await);
    }
    let (writer, later) = (writer(), reader());
    assert_eq!(queued(name.enter(&writer).await).ahead, 2);
    // Readers that come later do not overtake the writer.
    assert_eq!(queued(name.enter(&later).await).ahead, 3);
    for reader in &readers {
        name.leave(reader).await;
    }
    assert_eq!(name.holding().await, [writer.lease]);
    name.leave(&writer).await;
    assert_eq!(name.holding().await, [later.lease]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_returns_the_standing_of_the_entry_and_extends_nothing() {
    let name = Name::new();
    let (first, second) = (fair(), fair());
    let grant = granted(name.enter(&first).await);
    let waiter = queued(name.enter(&second).await);
    pass(5).await;
    let left = TTL - Duration::from_secs(5);
    let again = granted(name.enter(&first).await);
    assert_eq!((again.token, again.left), (grant.token, left));
    let again = queued(name.enter(&second).await);
    assert_eq!((again.token, again.left, again.ahead), (waiter.token, left, 1));
    // A retry that would not wait finds its entry, too.
    let again = queued(name.enter(&second.clone().without_waiting()).await);
    assert_eq!(again.token, waiter.token);
    name.leave(&first).await;
    let again = granted(name.enter(&second).await);
    assert_eq!((again.token, again.left, again.floor), (waiter.token, left, waiter.token));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_does_not_wait_makes_no_entry_that_would_have_to() {
    let name = Name::new();
    let first = permits(1, 2);
    let grant = granted(name.enter(&first).await);
    let AcquireOutcome::Held(held) = name.enter(&permits(2, 2).without_waiting()).await else {
        panic!("the entry was made")
    };
    assert_eq!((held.holder, held.token, held.left), (first.holder, grant.token, TTL));
    assert_eq!(name.queue().await.entries.len(), 1);
    granted(name.enter(&permits(1, 2).without_waiting()).await);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_name_gets_no_entry() {
    let name = Name::new();
    let first = fair();
    granted(name.enter(&first).await);
    name.disable("upkeep").await;
    assert_eq!(disabled(name.enter(&fair()).await), "upkeep");
    assert_eq!(disabled(name.enter(&first).await), "upkeep");
    assert_eq!(name.queue().await.entries.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_was_told_to_leave_is_not_reported_as_granted() {
    let name = Name::new();
    let (first, second) = (fair(), fair());
    granted(name.enter(&first).await);
    name.disable("upkeep").await;
    name.enable().await;
    assert_eq!(disabled(name.enter(&first).await), "upkeep");
    // It is still ahead of others until it leaves.
    assert_eq!(queued(name.enter(&second).await).ahead, 1);
    assert_eq!(disabled(name.enter(&first).await), "upkeep");
    name.leave(&first).await;
    granted(name.enter(&second).await);
}

#[tokio::test(start_paused = true)]
async fn a_queue_has_a_maximum_of_entries() {
    let name = Name::new();
    let first = fair();
    granted(name.enter(&first).await);
    for _ in 1..MAX_ENTRIES {
        queued(name.enter(&fair()).await);
    }
    let error = conflict(name.try_enter(&fair()).await);
    assert!(error.contains("256 entries"), "{error}");
    assert_eq!(name.queue().await.entries.len(), MAX_ENTRIES);
    let AcquireOutcome::Held(_) = name.enter(&fair().without_waiting()).await else {
        panic!("it would have to wait anyway")
    };
    granted(name.enter(&first).await);
    name.leave(&first).await;
    queued(name.enter(&fair()).await);
}

#[tokio::test(start_paused = true)]
async fn invalid_options_are_refused_and_nothing_is_written() {
    let name = Name::new();
    let short = EnterOptions { ttl: Duration::ZERO, ..fair() };
    for options in
        [short, permits(3, 2), permits(0, 2), fair().with_weight(2), attempt(LockKind::Exclusive)]
    {
        assert!(name.try_enter(&options).await.unwrap_err().is_invalid(), "{options:?}");
    }
    assert_eq!(name.store.get(&name.name).await.unwrap(), None);
}
