//! An election raises its fence before the job starts, and a stale term ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use leasehold_core::{
    Client, ElectionHandle, FencingToken, Job, JobError, Leadership, LockName, MemoryStore,
    RaiseFence, RaiseOutcome, StopReason, TokioClock,
};
use tokio::time::sleep;

const LIMIT: Duration = Duration::from_secs(60);

/// A fence that replies as the test says.
#[derive(Clone, Debug, Default)]
struct FakeFence(Arc<Mutex<FakeState>>);

#[derive(Debug, Default)]
struct FakeState {
    /// These are the replies, each with the time that it takes; later calls get no reply.
    replies: Vec<(Duration, Result<RaiseOutcome, String>)>,
    /// These are the tokens of the calls.
    calls: Vec<u64>,
}

impl FakeFence {
    fn new(
        replies: impl IntoIterator<Item = (Duration, Result<RaiseOutcome, &'static str>)>,
    ) -> Self {
        let owned = |(after, reply): (Duration, Result<RaiseOutcome, &str>)| {
            (after, reply.map_err(str::to_owned))
        };
        let replies = replies.into_iter().map(owned).collect();
        Self(Arc::new(Mutex::new(FakeState { replies, calls: Vec::new() })))
    }

    fn calls(&self) -> Vec<u64> {
        self.0.lock().unwrap().calls.clone()
    }
}

#[async_trait]
impl RaiseFence for FakeFence {
    async fn raise(
        &self,
        name: &LockName,
        token: FencingToken,
        limit: Duration,
    ) -> Result<RaiseOutcome, JobError> {
        assert_eq!(name.as_str(), "a");
        assert!(!limit.is_zero() && limit <= LIMIT, "{limit:?}");
        let next = {
            let mut state = self.0.lock().unwrap();
            state.calls.push(token.get());
            (!state.replies.is_empty()).then(|| state.replies.remove(0))
        };
        let Some((after, reply)) = next else { return std::future::pending().await };
        sleep(after).await;
        reply.map_err(JobError::from)
    }
}

/// A job that logs its calls, and reports that it is stale if it is told to.
#[derive(Clone, Debug, Default)]
struct LoggedJob {
    log: Arc<Mutex<Vec<String>>>,
    reports_stale: bool,
}

impl LoggedJob {
    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

#[async_trait]
impl Job for LoggedJob {
    async fn start(&self, leadership: Leadership) -> Result<(), JobError> {
        self.log.lock().unwrap().push("start".to_owned());
        if self.reports_stale {
            leadership.report_stale();
        }
        Ok(())
    }

    async fn stop(&self, reason: &StopReason) {
        self.log.lock().unwrap().push(format!("stop: {reason}"));
    }
}

fn campaign(fence: &FakeFence, job: &LoggedJob) -> ElectionHandle {
    let clock = Arc::new(TokioClock::new());
    let store = MemoryStore::with_clock(clock.clone());
    let client = Client::builder(Arc::new(store)).clock(clock).seed(1).build().unwrap();
    client.election("a").unwrap().fence(fence.clone(), LIMIT).spawn(job.clone())
}

const SOON: Duration = Duration::from_millis(10);

/// The raise takes longer than a lease lasts, which is renewed in the meantime.
#[tokio::test(start_paused = true)]
async fn start_waits_until_the_fence_is_raised() {
    let fence = FakeFence::new([(LIMIT - SOON, Ok(RaiseOutcome::Raised))]);
    let job = LoggedJob::default();
    let election = campaign(&fence, &job);
    sleep(LIMIT - SOON * 2).await;
    assert!(election.status().is_leading());
    assert_eq!(job.log(), Vec::<String>::new());
    sleep(SOON * 2).await;
    assert_eq!(job.log(), ["start"]);
    let token = election.status().token.unwrap().get();
    sleep(LIMIT).await;
    assert_eq!(fence.calls(), [token]);
    election.shutdown().await;
    assert_eq!(job.log(), ["start", "stop: shut down"]);
}

#[tokio::test(start_paused = true)]
async fn start_runs_when_the_limit_expires_and_the_fence_is_raised_beside_it() {
    let blocked = || (LIMIT, Ok(RaiseOutcome::Blocked("session 7".to_owned())));
    let raised = (SOON, Ok(RaiseOutcome::Raised));
    let fence = FakeFence::new([blocked(), blocked(), raised]);
    let job = LoggedJob::default();
    let election = campaign(&fence, &job);
    sleep(LIMIT + SOON * 2).await;
    assert_eq!((job.log(), fence.calls().len()), (vec!["start".to_owned()], 1));
    sleep(LIMIT * 4).await;
    assert_eq!((job.log(), fence.calls().len()), (vec!["start".to_owned()], 3));
    assert!(election.status().is_leading());
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_fence_without_a_reply_does_not_hold_up_the_job() {
    let fence = FakeFence::default();
    let job = LoggedJob::default();
    let election = campaign(&fence, &job);
    sleep(LIMIT * 2).await;
    assert_eq!(job.log(), ["start"]);
    // The second call has no reply either, and ends with the term.
    assert_eq!(fence.calls().len(), 2);
    election.shutdown().await;
    sleep(LIMIT * 4).await;
    assert_eq!(fence.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stale_term_ends_without_a_start() {
    let stale = (SOON, Ok(RaiseOutcome::Stale));
    let raised = (SOON, Ok(RaiseOutcome::Raised));
    let fence = FakeFence::new([stale, raised]);
    let job = LoggedJob::default();
    let election = campaign(&fence, &job);
    sleep(SOON * 2).await;
    assert_eq!(job.log(), ["stop: a newer term has raised the fence"]);
    assert!(!election.status().is_leading());
    sleep(LIMIT).await;
    assert_eq!(job.log(), ["stop: a newer term has raised the fence", "start"]);
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_term_that_is_found_stale_after_its_start_ends() {
    let blocked = (LIMIT, Ok(RaiseOutcome::Blocked(String::new())));
    let fence = FakeFence::new([blocked, (SOON, Ok(RaiseOutcome::Stale))]);
    let job = LoggedJob::default();
    let election = campaign(&fence, &job);
    sleep(LIMIT + Duration::from_secs(2)).await;
    assert_eq!(job.log(), ["start", "stop: a newer term has raised the fence"]);
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_fence_that_cannot_be_raised_ends_the_term() {
    let fence = FakeFence::new([(SOON, Err("access denied"))]);
    let job = LoggedJob::default();
    let election = campaign(&fence, &job);
    sleep(SOON * 2).await;
    assert_eq!(job.log(), ["stop: start failed: the fence cannot be raised: access denied"]);
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_transient_error_is_retried_before_the_job_starts() {
    let failed = || (SOON, Ok(RaiseOutcome::TransientError("no connection".to_owned())));
    let fence = FakeFence::new([failed(), failed(), (SOON, Ok(RaiseOutcome::Raised))]);
    let job = LoggedJob::default();
    let election = campaign(&fence, &job);
    sleep(Duration::from_secs(1)).await;
    assert!(election.status().is_leading());
    assert_eq!(job.log(), Vec::<String>::new());
    sleep(LIMIT / 2).await;
    assert_eq!((job.log(), fence.calls().len()), (vec!["start".to_owned()], 3));
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn start_runs_at_the_limit_if_transient_errors_last() {
    let failed = || (SOON, Ok(RaiseOutcome::TransientError("no connection".to_owned())));
    let fence = FakeFence::new(std::iter::repeat_with(failed).take(1000));
    let job = LoggedJob::default();
    let election = campaign(&fence, &job);
    sleep(LIMIT - SOON).await;
    assert_eq!(job.log(), Vec::<String>::new());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(job.log(), ["start"]);
    let before = fence.calls().len();
    sleep(LIMIT).await;
    assert!(fence.calls().len() > before, "the fence is still being raised");
    assert!(election.status().is_leading());
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_term_that_ends_while_the_fence_is_raised_has_no_start() {
    let fence = FakeFence::default();
    let job = LoggedJob::default();
    let election = campaign(&fence, &job);
    sleep(SOON).await;
    assert!(election.status().is_leading());
    election.shutdown().await;
    assert_eq!(job.log(), ["stop: shut down"]);
}

#[tokio::test(start_paused = true)]
async fn a_job_reports_that_it_is_stale() {
    let fence = FakeFence::new([(SOON, Ok(RaiseOutcome::Raised))]);
    let job = LoggedJob { reports_stale: true, ..LoggedJob::default() };
    let election = campaign(&fence, &job);
    sleep(SOON * 2).await;
    assert_eq!(job.log(), ["start", "stop: a newer term has raised the fence"]);
    election.shutdown().await;
}
