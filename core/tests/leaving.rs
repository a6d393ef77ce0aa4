//! Terms and elections end correctly if the work cannot be stopped, if it is finished, or if the
//! store hangs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/faulty_store.rs"]
mod faulty_store;

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use faulty_store::FaultyStore;
use leasehold_core::{
    Client, Job, JobError, Leadership, LockStore, ReleaseOutcome, Settings, Status, StopReason,
    TokioClock, job_fn, job_from_fns,
};

const GRACE: Duration = Duration::from_secs(5);

fn store() -> FaultyStore {
    FaultyStore::new(Arc::new(TokioClock::new()))
}

fn client(faulty: &FaultyStore, seed: u64) -> Client {
    let clock = Arc::new(TokioClock::new());
    let builder = Client::builder(Arc::new(faulty.clone())).clock(clock).seed(seed);
    builder.settings(Settings::new().stop_grace(GRACE)).build().unwrap()
}

fn waiting_job() -> impl Job {
    job_fn(|leadership: Leadership| async move {
        leadership.cancelled().await;
        Ok(())
    })
}

/// A process that outlives this one releases the lease by that id.
#[tokio::test(start_paused = true)]
async fn the_lease_id_of_a_term_releases_its_lease() {
    let faulty = store();
    let (send, mut terms) = tokio::sync::mpsc::unbounded_channel();
    let job = job_fn(move |leadership: Leadership| {
        let send = send.clone();
        async move {
            drop(send.send(leadership.clone()));
            leadership.cancelled().await;
            Ok(())
        }
    });
    let _election = client(&faulty, 1).election("a").unwrap().spawn(job);
    let term = terms.recv().await.unwrap();
    let released = faulty.inner.release(term.name(), term.lease_id()).await.unwrap();
    assert_eq!(released, ReleaseOutcome::Released);
}

/// The blocking thread continues after its task is aborted; no other instance leads before the
/// lease has expired.
#[tokio::test(start_paused = true)]
async fn an_overrunning_jobs_lease_expires_unreleased() {
    let faulty = store();
    let may_end = Arc::new(AtomicBool::new(false));
    let work_may_end = may_end.clone();
    let one = client(&faulty, 1).election("a").unwrap().spawn(job_fn(move |_| {
        let work_may_end = work_may_end.clone();
        async move {
            let blocking = tokio::task::spawn_blocking(move || {
                while !work_may_end.load(SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            Ok(blocking.await?)
        }
    }));
    let (faulty_too, two) = (faulty.clone(), client(&faulty, 2));
    // While a blocking task runs, paused time does not advance automatically.
    let advance = |by: Duration| async move {
        for _ in 0..by.as_millis() / 50 {
            tokio::time::advance(Duration::from_millis(50)).await;
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
    };
    advance(Duration::from_secs(1)).await;
    assert!(one.status().is_leading());
    let two = two.election("a").unwrap().spawn(waiting_job());
    let status = one.watch();
    drop(one);
    advance(GRACE + Duration::from_secs(1)).await;
    assert_eq!(status.borrow().overruns, 1);
    assert!(status.has_changed().is_err(), "the election has ended");
    let name = leasehold_core::LockName::new("a").unwrap();
    let record = leasehold_core::LockStore::get(&faulty_too.inner, &name).await.unwrap().unwrap();
    let left = record.lease.unwrap().left;
    assert!(!two.status().is_leading(), "the lease was released while the work continues");
    advance(left + Duration::from_secs(1)).await;
    assert!(two.status().is_leading());
    may_end.store(true, SeqCst);
}

/// This once took 24 s and more.
#[tokio::test(start_paused = true)]
async fn shutdown_is_bounded_when_the_store_hangs() {
    let faulty = store();
    faulty.state.announces.store(true, SeqCst);
    let [leader, candidate] = [1, 2].map(|seed| {
        let client = client(&faulty, seed);
        client.election("a").unwrap().spawn(waiting_job())
    });
    leader.watch().wait_for(Status::is_leading).await.unwrap();
    tokio::time::sleep(Duration::from_secs(14)).await;
    faulty.state.all_hang.store(true, SeqCst);
    // After one ttl, which is 15 s, announcements and an attempt are in progress.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for election in [leader, candidate] {
        let from = tokio::time::Instant::now();
        election.shutdown().await;
        let took = from.elapsed();
        assert!(took <= Duration::from_millis(5_100), "{took:?}");
    }
    // The memory store's lock is released in the background.
}

#[tokio::test(start_paused = true)]
async fn shutdown_within_respects_its_limit() {
    let faulty = store();
    let job = job_from_fns(|_| async { Ok(()) }, |_| std::future::pending());
    let election = client(&faulty, 1).election("a").unwrap().spawn(job);
    election.watch().wait_for(Status::is_leading).await.unwrap();
    let from = tokio::time::Instant::now();
    let mut status = election.watch();
    assert!(!election.shutdown_within(Duration::from_secs(1)).await);
    assert!(from.elapsed() < GRACE);
    while status.changed().await.is_ok() {}
    assert!(from.elapsed() >= GRACE, "the stop continues in the background");
}

#[tokio::test(start_paused = true)]
async fn release_within_respects_its_limit() {
    let faulty = store();
    let guard = client(&faulty, 1).lock("a").unwrap().try_acquire().await.unwrap().unwrap();
    faulty.state.all_hang.store(true, SeqCst);
    let from = tokio::time::Instant::now();
    guard.release_within(Duration::from_secs(1)).await.unwrap_err();
    assert!(from.elapsed() < Duration::from_secs(2));
}

/// The instance used to keep the lead without any work.
#[tokio::test(start_paused = true)]
async fn a_finished_job_lets_another_instance_lead_first() {
    let faulty = store();
    let finished_job = || job_fn(|_| async { Ok(()) });
    let elections =
        [1, 2].map(|seed| client(&faulty, seed).election("a").unwrap().spawn(finished_job()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    for election in &elections {
        assert!(election.status().terms > 1, "{:?}", election.status());
    }
}

/// Records the reason with which each term ended.
struct ReasonRecorder {
    ends_when_start_returns: bool,
    reasons: Arc<Mutex<Vec<StopReason>>>,
}

#[async_trait]
impl Job for ReasonRecorder {
    async fn start(&self, _: Leadership) -> Result<(), JobError> {
        Ok(())
    }

    async fn stop(&self, reason: &StopReason) {
        self.reasons.lock().unwrap().push(reason.clone());
    }

    fn ends_when_start_returns(&self) -> bool {
        self.ends_when_start_returns
    }
}

#[tokio::test(start_paused = true)]
async fn a_returning_start_ends_the_term_only_if_the_job_opts_in() {
    for ends_when_start_returns in [true, false] {
        let reasons = Arc::new(Mutex::new(Vec::new()));
        let job = ReasonRecorder { ends_when_start_returns, reasons: reasons.clone() };
        let election = client(&store(), 1).election("a").unwrap().spawn(job);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let expected =
            if ends_when_start_returns { vec![StopReason::Finished] } else { Vec::new() };
        assert_eq!(*reasons.lock().unwrap(), expected);
        election.shutdown().await;
    }
}
