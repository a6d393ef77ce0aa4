use super::*;

#[tokio::test(start_paused = true)]
async fn a_name_in_use_as_one_kind_is_refused_as_another() {
    let name = Name::new();
    granted(name.acquire().await.unwrap());
    let error = conflict(name.try_enter(&fair()).await);
    assert!(error.contains("in use as an exclusive lock"), "{error}");
    assert!(error.contains("as a fair lock"), "{error}");
    pass(20).await;
    granted(name.enter(&fair()).await);
    let error = conflict(name.acquire().await);
    assert!(error.contains("in use as a fair lock"), "{error}");
    assert!(error.contains("as an exclusive lock"), "{error}");
    conflict(name.try_enter(&attempt(LockKind::ReaderWriter)).await);
    let record = name.record().await;
    assert_eq!((record.kind, record.queue.unwrap().entries.len()), (LockKind::Fair, 1));
}

#[tokio::test(start_paused = true)]
async fn another_capacity_is_another_kind() {
    let name = Name::new();
    granted(name.enter(&permits(1, 2)).await);
    let error = conflict(name.try_enter(&permits(1, 3)).await);
    assert!(error.contains("2 permits") && error.contains("3 permits"), "{error}");
    conflict(name.try_enter(&permits(1, 3).without_waiting()).await);
}

#[tokio::test(start_paused = true)]
async fn a_name_can_be_used_as_another_kind_once_nobody_is_in_the_queue() {
    let name = Name::new();
    let (first, second) = (fair(), fair());
    granted(name.enter(&first).await);
    queued(name.enter(&second).await);
    name.leave(&first).await;
    conflict(name.try_enter(&permits(1, 2)).await);
    name.leave(&second).await;
    granted(name.enter(&permits(1, 2)).await);
    // Entries that expired are not in the queue either.
    pass(20).await;
    granted(name.acquire().await.unwrap());
    let record = name.record().await;
    assert_eq!((record.kind, record.queue), (LockKind::Exclusive, None));
    pass(20).await;
    granted(name.enter(&attempt(LockKind::leaders(3).unwrap())).await);
    assert_eq!(name.record().await.lease, None);
}

#[tokio::test(start_paused = true)]
async fn a_disabled_name_says_so_whatever_it_is_used_as() {
    let name = Name::new();
    granted(name.enter(&fair()).await);
    name.disable("upkeep").await;
    assert_eq!(disabled(name.acquire().await.unwrap()), "upkeep");
    assert_eq!(disabled(name.enter(&permits(1, 2)).await), "upkeep");
    name.enable().await;
    conflict(name.acquire().await);
}
