//! Each kind of lock has its own number of holders, in the order of arrival.

use leasehold_core::{Guard, Semaphore};
use tokio::time::sleep;

use crate::instance_store::InstanceStore;
use crate::{HOUR, SECOND, entries, granted, wait};

fn semaphore(store: &InstanceStore) -> Semaphore {
    store.another().client().semaphore("a", 3).unwrap()
}

#[tokio::test(start_paused = true)]
async fn readers_hold_the_lock_together_and_a_writer_alone() {
    let store = InstanceStore::new();
    let client = store.client();
    let [one, two] = [(); 2].map(|()| store.another().client().rw_lock("a").unwrap());
    let readers = [one.read(HOUR).await.unwrap(), two.read(HOUR).await.unwrap()];
    assert!(one.try_write().await.unwrap().is_none());
    let writer = two.clone();
    let writer = wait(async move { writer.write(HOUR).await }).await;
    assert_eq!(entries(&client).await, (2, 1));
    let [first, second] = readers;
    first.release().await.unwrap();
    sleep(SECOND).await;
    assert!(!writer.is_finished());
    second.release().await.unwrap();
    let writer = granted(writer).await;
    assert_eq!(entries(&client).await, (1, 0));
    assert!(one.try_read().await.unwrap().is_none());
    assert!(one.try_write().await.unwrap().is_none());
    writer.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn neither_readers_nor_writers_starve() {
    let store = InstanceStore::new();
    let client = store.client();
    let lock = |_| store.another().client().rw_lock("a").unwrap();
    let [early, writes, late, later] = [0, 1, 2, 3].map(lock);
    let first = early.read(HOUR).await.unwrap();
    let writer = wait(async move { writes.write(HOUR).await }).await;
    let last = [
        wait(async move { late.read(HOUR).await }).await,
        wait(async move { later.read(HOUR).await }).await,
    ];
    assert_eq!(entries(&client).await, (1, 3), "the readers wait behind the writer");
    assert!(early.try_read().await.unwrap().is_none());
    first.release().await.unwrap();
    let writer = granted(writer).await;
    assert_eq!(entries(&client).await, (1, 2));
    writer.release().await.unwrap();
    let mut readers = Vec::new();
    for reader in last {
        readers.push(granted(reader).await);
    }
    assert_eq!(entries(&client).await, (2, 0), "both hold the lock at the same time");
}

#[tokio::test(start_paused = true)]
async fn a_semaphore_has_as_many_holders_as_permits() {
    let store = InstanceStore::new();
    let client = store.client();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(semaphore(&store).acquire(HOUR).await.unwrap());
    }
    assert!(semaphore(&store).try_acquire().await.unwrap().is_none());
    let fourth = semaphore(&store);
    let fourth = wait(async move { fourth.acquire(HOUR).await }).await;
    assert_eq!(entries(&client).await, (3, 1));
    held.remove(1).release().await.unwrap();
    let fourth = granted(fourth).await;
    assert!(held.iter().all(Guard::is_held) && fourth.is_held());
    assert_eq!(entries(&client).await, (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_behind_one_that_needs_many_permits_waits_too() {
    let store = InstanceStore::new();
    let client = store.client();
    let two = semaphore(&store).acquire_many(2, HOUR).await.unwrap();
    let one = semaphore(&store).acquire(HOUR).await.unwrap();
    let heavy = semaphore(&store);
    let heavy = wait(async move { heavy.acquire_many(2, HOUR).await }).await;
    let light = semaphore(&store);
    let light = wait(async move { light.acquire(HOUR).await }).await;
    one.release().await.unwrap();
    sleep(5 * SECOND).await;
    assert!(!heavy.is_finished() && !light.is_finished(), "one permit is free");
    assert!(semaphore(&store).try_acquire().await.unwrap().is_none(), "calls wait for it");
    two.release().await.unwrap();
    let (heavy, light) = (granted(heavy).await, granted(light).await);
    assert_eq!(entries(&client).await, (2, 0));
    heavy.release().await.unwrap();
    light.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_number_of_permits_that_could_never_be_acquired_is_refused() {
    let store = InstanceStore::new();
    let client = store.client();
    assert!(client.semaphore("a", 0).unwrap_err().is_invalid());
    let semaphore = client.semaphore("a", 3).unwrap();
    assert_eq!(semaphore.permits(), 3);
    for permits in [0, 4] {
        assert!(semaphore.acquire_many(permits, HOUR).await.unwrap_err().is_invalid());
        assert!(semaphore.try_acquire_many(permits).await.unwrap_err().is_invalid());
    }
    assert_eq!(store.count("enter"), 0);
}

/// A holder of a later permit must not shut out an earlier one that is still valid.
#[tokio::test(start_paused = true)]
async fn the_floor_is_the_smallest_token_in_use_and_follows_the_heartbeats() {
    let store = InstanceStore::new();
    let first = semaphore(&store).acquire(HOUR).await.unwrap();
    let second = semaphore(&store).acquire(HOUR).await.unwrap();
    assert_eq!((first.floor(), second.floor()), (first.token(), first.token()));
    let (semaphore, before) = (semaphore(&store), first.token());
    let waits = wait(async move { semaphore.acquire_many(3, HOUR).await }).await;
    first.release().await.unwrap();
    assert_eq!(second.floor(), before);
    sleep(4 * SECOND).await;
    assert_eq!(second.floor(), second.token());
    second.release().await.unwrap();
    let third = granted(waits).await;
    assert_eq!(third.floor(), third.token());
    third.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_floor_of_an_exclusive_lock_is_its_token() {
    let client = InstanceStore::new().client();
    let guard = client.lock("a").unwrap().acquire(HOUR).await.unwrap();
    sleep(10 * SECOND).await;
    assert_eq!(guard.floor(), guard.token());
    guard.release().await.unwrap();
}
