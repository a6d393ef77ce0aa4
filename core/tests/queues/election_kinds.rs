//! An election may be for a lock of any kind, and then shares its name with such locks.

use leasehold_core::{Client, Election, ElectionHandle, LockKind, Role, Status, job_fn};
use tokio::time::{sleep, timeout};

use crate::instance_store::InstanceStore;
use crate::{HOUR, SECOND, entries, granted, wait_as};

fn election(client: &Client, kind: LockKind, weight: u32) -> Election {
    client.election("a").unwrap().with_kind(kind, weight).unwrap()
}

fn spawn(election: Election) -> ElectionHandle {
    election.spawn(job_fn(|leadership| async move {
        leadership.cancelled().await;
        Ok(())
    }))
}

async fn reaches(election: &ElectionHandle, condition: impl FnMut(&Status) -> bool) {
    let mut status = election.watch();
    timeout(20 * SECOND, status.wait_for(condition)).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_election_takes_its_turn_among_the_calls_for_a_fair_lock() {
    let store = InstanceStore::new();
    let first = store.client().fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let second = wait_as(&store).await;
    let election = spawn(election(&store.another().client(), LockKind::Fair, 1));
    reaches(&election, |status| status.ahead == Some(2)).await;
    assert!(election.status().leader.is_some());
    first.release().await.unwrap();
    let second = granted(second).await;
    // The next heartbeat of the entry shows its new position.
    reaches(&election, |status| status.ahead == Some(1)).await;
    second.release().await.unwrap();
    reaches(&election, |status| status.role == Role::Leading && status.ahead.is_none()).await;
    let lock = store.client().fair_lock("a").unwrap();
    assert!(lock.try_acquire().await.unwrap().is_none());
    election.shutdown().await;
    assert!(lock.try_acquire().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_election_of_a_writer_excludes_readers() {
    let store = InstanceStore::new();
    let lock = store.client().rw_lock("a").unwrap();
    let reader = lock.read(HOUR).await.unwrap();
    let client = store.another().client();
    let writer = spawn(election(&client, LockKind::ReaderWriter, LockKind::WRITER_WEIGHT));
    reaches(&writer, |status| status.ahead == Some(1)).await;
    assert!(lock.try_read().await.unwrap().is_none(), "a writer waits");
    reader.release().await.unwrap();
    reaches(&writer, Status::is_leading).await;
    assert!(lock.try_read().await.unwrap().is_none(), "a writer holds the lock");
    writer.shutdown().await;
    let readers =
        [(); 2].map(|()| spawn(election(&store.another().client(), LockKind::ReaderWriter, 1)));
    for reader in &readers {
        reaches(reader, Status::is_leading).await;
    }
    assert_eq!(entries(&client).await, (2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_election_that_does_not_wait_makes_no_entry() {
    let store = InstanceStore::new();
    let client = store.client();
    let held = client.fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let candidate = election(&store.another().client(), LockKind::Fair, 1).without_waiting();
    let candidate = spawn(candidate);
    reaches(&candidate, |status| status.leader.is_some()).await;
    sleep(5 * SECOND).await;
    assert_eq!((candidate.status().ahead, entries(&client).await), (None, (1, 0)));
    held.release().await.unwrap();
    reaches(&candidate, Status::is_leading).await;
}

#[tokio::test(start_paused = true)]
async fn the_weight_of_an_election_is_checked() {
    let client = InstanceStore::new().client();
    let with_kind = |kind, weight| client.election("a").unwrap().with_kind(kind, weight);
    for (kind, weight) in
        [(LockKind::Exclusive, 2), (LockKind::Fair, 0), (LockKind::semaphore(3).unwrap(), 4)]
    {
        assert!(with_kind(kind, weight).unwrap_err().is_invalid(), "{kind}");
    }
    let exclusive = spawn(with_kind(LockKind::Exclusive, 1).unwrap());
    reaches(&exclusive, Status::is_leading).await;
    assert!(client.status("a").await.unwrap().lease.is_some());
}
