//! Instances announce themselves once per ttl, each time for two ttls, and no election depends on
//! it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/faulty_store.rs"]
mod faulty_store;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use faulty_store::FaultyStore;
use leasehold_core::{
    Client, Clock, Job, LockStore, MAX_TTL, MemoryStore, Presence, Settings, Status, TokioClock,
    job_fn,
};

/// This is the default.
const TTL: Duration = Duration::from_secs(15);

fn client(store: impl LockStore, clock: &Arc<dyn Clock>) -> Client {
    Client::builder(Arc::new(store)).clock(clock.clone()).build().unwrap()
}

fn job() -> impl Job {
    job_fn(|leadership| async move {
        leadership.cancelled().await;
        Ok(())
    })
}

async fn names_of(observer: &Client, client: &Client) -> Option<Vec<String>> {
    let known = observer.instances().await.unwrap();
    let own = known.into_iter().find(|it| it.presence.holder == *client.holder())?;
    Some(own.presence.campaigns.iter().map(ToString::to_string).collect())
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn presence_lists_the_current_campaigns() {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let store = MemoryStore::with_clock(clock.clone());
    let (leader, observer) = (client(store.clone(), &clock), client(store, &clock));
    assert_eq!(names_of(&observer, &leader).await, None);
    let first = leader.election("a").unwrap().spawn(job());
    let second = leader.election("b").unwrap().spawn(job());
    let twice = leader.election("b").unwrap().spawn(job());
    settle().await;
    assert_eq!(names_of(&observer, &leader).await.unwrap(), ["a", "b"]);
    // This is far longer than one announcement lasts.
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(names_of(&observer, &leader).await.unwrap(), ["a", "b"]);
    second.shutdown().await;
    first.shutdown().await;
    settle().await;
    assert_eq!(names_of(&observer, &leader).await.unwrap(), ["b"]);
    // A process that exits right after its last election leaves no record.
    twice.shutdown().await;
    assert_eq!(names_of(&observer, &leader).await, None);
    // A later election announces the instance again.
    let again = leader.election("c").unwrap().spawn(job());
    settle().await;
    assert_eq!(names_of(&observer, &leader).await.unwrap(), ["c"]);
    again.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_instance_announces_itself_once_per_ttl() {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let store = FaultyStore::new(clock.clone());
    store.state.announces.store(true, SeqCst);
    let leader = client(store.clone(), &clock);
    let election = leader.election("a").unwrap().spawn(job());
    settle().await;
    assert_eq!(store.state.announcements.load(SeqCst), 1);
    tokio::time::sleep(TTL * 4 + Duration::from_secs(1)).await;
    assert_eq!(store.state.announcements.load(SeqCst), 5);
    election.shutdown().await;
}

/// The store keeps no record for longer than the longest ttl, so this instance announces itself
/// twice per ttl.
#[tokio::test(start_paused = true)]
async fn an_instance_with_the_longest_ttl_stays_listed() {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let store = MemoryStore::with_clock(clock.clone());
    let observer = client(store.clone(), &clock);
    let settings = Settings::new().ttl(MAX_TTL);
    let leader = Client::builder(Arc::new(store)).clock(clock).settings(settings).build().unwrap();
    let election = leader.election("a").unwrap().spawn(job());
    for _ in 0..8 {
        settle().await;
        assert!(names_of(&observer, &leader).await.is_some());
        tokio::time::sleep(MAX_TTL / 3).await;
    }
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_crashed_instance_is_listed_for_two_ttls_after_its_last_announcement() {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let store = FaultyStore::new(clock.clone());
    store.state.announces.store(true, SeqCst);
    let (crashed, observer) = (client(store.clone(), &clock), client(store.inner.clone(), &clock));
    let election = crashed.election("a").unwrap().spawn(job());
    settle().await;
    // From now on the store gets nothing from this instance.
    store.state.all_hang.store(true, SeqCst);
    tokio::time::sleep(TTL * 2 - Duration::from_millis(100)).await;
    assert!(names_of(&observer, &crashed).await.is_some());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(names_of(&observer, &crashed).await, None);
    drop(election);
}

#[tokio::test(start_paused = true)]
async fn presence_records_are_bounded() {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let store = MemoryStore::with_clock(clock.clone());
    let (leader, observer) = (client(store.clone(), &clock), client(store, &clock));
    let handles: Vec<_> = (0..Presence::MAX_LISTED + 7)
        .map(|number| leader.election(format!("{number:05}")).unwrap().spawn(job()))
        .collect();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let known = observer.instances().await.unwrap().remove(0).presence;
    assert_eq!((known.campaigns.len(), known.unlisted), (Presence::MAX_LISTED, 7));
    drop(handles);
}

/// The store of this test does not support instance records.
#[tokio::test(start_paused = true)]
async fn elections_work_on_a_store_without_instances() {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let leader = client(FaultyStore::new(clock.clone()), &clock);
    let election = leader.election("a").unwrap().spawn(job());
    election.watch().wait_for(Status::is_leading).await.unwrap();
    assert!(leader.instances().await.unwrap_err().is_unsupported());
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(election.status().is_leading());
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn one_announcement_without_a_reply_does_not_unlist_an_instance() {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let store = FaultyStore::new(clock.clone());
    store.state.announces.store(true, SeqCst);
    let (leader, observer) = (client(store.clone(), &clock), client(store.inner.clone(), &clock));
    let election = leader.election("a").unwrap().spawn(job());
    // The second announcement is sent after one ttl.
    tokio::time::sleep(TTL - Duration::from_millis(500)).await;
    store.state.all_hang.store(true, SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.state.all_hang.store(false, SeqCst);
    assert_eq!(store.state.announcements.load(SeqCst), 2);
    // The next regular announcement, two ttls after the first one, would be too late.
    while observer.instances().await.unwrap()[0].left < TTL {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(store.state.announcements.load(SeqCst), 3);
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(names_of(&observer, &leader).await.is_some());
    }
    election.shutdown().await;
}
