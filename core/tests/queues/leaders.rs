//! An election of several leaders has as many at a time.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use leasehold_core::{
    Client, ElectionHandle, ErrorKind, FencingToken, Job, JobError, Leadership, LockName,
    RaiseFence, RaiseOutcome, Status, StopReason, async_trait, job_fn, job_from_fns,
};
use tokio::time::{sleep, timeout};

use crate::instance_store::{InstanceStore, LATENCY};
use crate::{HOUR, SECOND, entries};

fn job() -> impl Job {
    job_fn(|leadership: Leadership| async move {
        leadership.cancelled().await;
        Ok(())
    })
}

fn campaign(client: &Client) -> ElectionHandle {
    client.election("a").unwrap().leaders(2).unwrap().spawn(job())
}

/// Starts the elections of three instances, one after the other.
async fn three_candidates(store: &InstanceStore) -> Vec<ElectionHandle> {
    let mut elections = Vec::new();
    for _ in 0..3 {
        elections.push(campaign(&store.another().client()));
        sleep(SECOND).await;
    }
    elections
}

async fn leads(election: &ElectionHandle) {
    let mut status = election.watch();
    timeout(5 * SECOND, status.wait_for(Status::is_leading)).await.unwrap().unwrap();
}

fn leading(elections: &[ElectionHandle]) -> usize {
    elections.iter().filter(|election| election.status().is_leading()).count()
}

#[tokio::test(start_paused = true)]
async fn two_of_three_candidates_lead_and_the_third_follows_one_of_them() {
    let store = InstanceStore::new();
    let client = store.client();
    let mut elections = three_candidates(&store).await;
    assert_eq!(leading(&elections), 2);
    sleep(60 * SECOND).await;
    assert_eq!((leading(&elections), entries(&client).await), (2, (2, 1)));
    elections.remove(0).shutdown().await;
    leads(&elections[1]).await;
    assert!(elections[0].status().is_leading());
    assert_eq!(entries(&client).await, (2, 0));
    for election in elections {
        election.shutdown().await;
    }
    assert_eq!(entries(&client).await, (0, 0));
}

/// The reply to a renewal comes after that to a later one, and says that the candidate waits.
#[tokio::test(start_paused = true)]
async fn a_reply_from_before_its_turn_does_not_end_the_term_of_a_leader() {
    let store = InstanceStore::new();
    let mut elections = three_candidates(&store).await;
    let late = store.another();
    let last = campaign(&late.client());
    sleep(SECOND).await;
    late.faults.renewed_late_by.store(4_000, SeqCst);
    let renewals = late.count("renew");
    while late.count("renew") == renewals {
        sleep(LATENCY).await;
    }
    sleep(3 * LATENCY).await;
    late.faults.renewed_late_by.store(0, SeqCst);
    for _ in 0..2 {
        elections.remove(0).shutdown().await;
    }
    leads(&last).await;
    sleep(10 * SECOND).await;
    assert!(last.status().is_leading(), "{:?}", last.status());
    assert_eq!((last.status().terms, last.status().ahead), (1, None));
}

/// Nobody waits when a leader leaves, so no hint names a successor.
#[tokio::test(start_paused = true)]
async fn a_candidate_that_does_not_wait_soon_finds_that_a_leader_has_left() {
    let store = InstanceStore::new();
    let mut elections = three_candidates(&store).await;
    elections.remove(2).shutdown().await;
    let election = store.another().client().election("a").unwrap().leaders(2).unwrap();
    let last = election.without_waiting().spawn(job());
    sleep(SECOND).await;
    assert!(!last.status().is_leading());
    elections.remove(0).shutdown().await;
    leads(&last).await;
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_leaves_has_no_entry() {
    let store = InstanceStore::new();
    let client = store.client();
    let mut elections = three_candidates(&store).await;
    elections.remove(2).shutdown().await;
    assert_eq!(entries(&client).await, (2, 0));
    assert_eq!(leading(&elections), 2);
}

/// All leaders step down, and the candidate that waited leads.
#[tokio::test(start_paused = true)]
async fn an_operator_makes_all_leaders_resign() {
    let store = InstanceStore::new();
    let client = store.client();
    let reasons: Arc<Mutex<Vec<StopReason>>> = Arc::default();
    let mut elections = Vec::new();
    for _ in 0..3 {
        let reasons = reasons.clone();
        let job = job_from_fns(
            |_| async { Ok(()) },
            move |reason| {
                reasons.lock().unwrap().push(reason);
                async {}
            },
        );
        let election = store.another().client().election("a").unwrap();
        elections.push(election.leaders(2).unwrap().spawn(job));
        sleep(SECOND).await;
    }
    client.resign("a", "deploying").await.unwrap();
    sleep(10 * SECOND).await;
    let stopped = reasons.lock().unwrap().len();
    assert_eq!(stopped, 2);
    assert!(matches!(reasons.lock().unwrap()[0], StopReason::Disabled { .. }));
    assert!(elections[2].status().is_leading());
    assert_eq!(leading(&elections), 2);
}

#[tokio::test(start_paused = true)]
async fn an_election_tries_again_while_its_name_is_in_use_as_another_kind() {
    let store = InstanceStore::new();
    let held = store.client().fair_lock("a").unwrap().acquire(HOUR).await.unwrap();
    let election = campaign(&store.another().client());
    sleep(60 * SECOND).await;
    let status = election.status();
    assert!(!status.is_leading());
    assert_eq!(status.error.unwrap().kind(), ErrorKind::Conflict);
    held.release().await.unwrap();
    sleep(10 * SECOND).await;
    assert!(election.status().is_leading() && election.status().error.is_none());
    let lock = store.client().fair_lock("a").unwrap();
    assert_eq!(lock.try_acquire().await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_all_leaders() {
    let store = InstanceStore::new();
    let elections = [campaign(&store.another().client()), campaign(&store.another().client())];
    for election in &elections {
        leads(election).await;
    }
    let mut seen = store.client().observe("a").unwrap();
    let observed = seen.next().await.unwrap().unwrap();
    assert_eq!(observed.leaders.len(), 2);
    assert_eq!(observed.leader.as_ref(), observed.leaders.first());
    let [first, second] = elections;
    first.shutdown().await;
    // Nobody waited for the lead, so there is no hint.
    let observed = timeout(10 * SECOND, seen.next()).await.unwrap().unwrap().unwrap();
    let token = second.status().token.unwrap();
    assert_eq!(observed.leader.unwrap().token, token);
}

#[tokio::test(start_paused = true)]
async fn a_number_of_leaders_is_checked() {
    let election = InstanceStore::new().client().election("a").unwrap();
    assert!(election.leaders(0).unwrap_err().is_invalid());
}

/// The fence notes how it was raised.
#[derive(Debug)]
struct NotedFence(Arc<Mutex<Vec<(FencingToken, FencingToken)>>>);

#[async_trait]
impl RaiseFence for NotedFence {
    async fn raise(
        &self,
        _: &LockName,
        _: FencingToken,
        _: Duration,
    ) -> Result<RaiseOutcome, JobError> {
        Err("this would refuse the other leader".into())
    }

    async fn raise_to_floor(
        &self,
        _: &LockName,
        token: FencingToken,
        floor: FencingToken,
        _: Duration,
    ) -> Result<RaiseOutcome, JobError> {
        self.0.lock().unwrap().push((token, floor));
        Ok(RaiseOutcome::Raised)
    }
}

#[tokio::test(start_paused = true)]
async fn a_fence_is_raised_to_the_floor() {
    let store = InstanceStore::new();
    let raised: Arc<Mutex<Vec<_>>> = Arc::default();
    let mut elections = Vec::new();
    for _ in 0..2 {
        let election = store.another().client().election("a").unwrap();
        let fence = NotedFence(raised.clone());
        elections.push(election.leaders(2).unwrap().fence(fence, SECOND).spawn(job()));
        sleep(SECOND).await;
    }
    assert_eq!(leading(&elections), 2);
    let tokens = [0, 1].map(|at: usize| elections[at].status().token.unwrap());
    assert_eq!(*raised.lock().unwrap(), [(tokens[0], tokens[0]), (tokens[1], tokens[0])]);
}

#[tokio::test(start_paused = true)]
async fn a_leadership_has_the_floor_of_the_latest_heartbeat() {
    let store = InstanceStore::new();
    let (send, mut terms) = tokio::sync::mpsc::unbounded_channel();
    let mut elections = Vec::new();
    for _ in 0..2 {
        let send = send.clone();
        let job = job_fn(move |leadership: Leadership| {
            let send = send.clone();
            async move {
                drop(send.send(leadership.clone()));
                leadership.cancelled().await;
                Ok(())
            }
        });
        let election = store.another().client().election("a").unwrap();
        elections.push(election.leaders(2).unwrap().spawn(job));
        sleep(SECOND).await;
    }
    let (first, second) = (terms.recv().await.unwrap(), terms.recv().await.unwrap());
    assert_eq!((first.floor(), second.floor()), (first.token(), first.token()));
    elections.remove(0).shutdown().await;
    sleep(4 * SECOND).await;
    assert_eq!(second.floor(), second.token());
}
