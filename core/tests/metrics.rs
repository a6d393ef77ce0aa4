//! On paused time, each metric changes for its own event, and no other metric changes with it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/faulty_store.rs"]
mod faulty_store;
#[path = "support/recorder.rs"]
mod recorder;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use faulty_store::{FaultyStore, WatchFault};
use leasehold_core::{
    Client, ElectionHandle, Guard, Job, LockName, LockStore, Settings, Status, TokioClock, job_fn,
    start_stop,
};
use metrics::{LocalRecorderGuard, set_default_local_recorder};
use recorder::TestRecorder;
use tokio::time::{sleep, timeout};

const TTL: Duration = Duration::from_secs(15);
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3);
/// After this time the client is idle again.
const SETTLE_TIME: Duration = Duration::from_millis(500);

/// The harness has a store and the metrics of its clients.
struct Harness {
    recorder: &'static TestRecorder,
    _installed: LocalRecorderGuard<'static>,
    store: FaultyStore,
    clock: Arc<TokioClock>,
}

impl Harness {
    fn new() -> Self {
        let clock = Arc::new(TokioClock::new());
        let store = FaultyStore::new(clock.clone());
        let recorder: &TestRecorder = Box::leak(Box::default());
        Self { recorder, _installed: set_default_local_recorder(recorder), store, clock }
    }

    /// Creates another instance.
    fn client(&self) -> Client {
        let settings = Settings::new().ttl(TTL).heartbeat_interval(HEARTBEAT_INTERVAL);
        let builder = Client::builder(Arc::new(self.store.clone())).settings(settings);
        builder.clock(self.clock.clone()).seed(1).build().unwrap()
    }

    /// Returns the metrics that changed since the last call, except those of calls to the store.
    fn take_changes(&self) -> Vec<(String, f64)> {
        let changes = self.recorder.take_changes().into_iter();
        changes.filter(|(key, _)| !key.starts_with("store_call")).collect()
    }

    /// Returns the calls to the store since the last call of this method, by operation and outcome.
    fn calls(&self) -> Vec<(String, f64)> {
        let changes = self.recorder.take_changes().into_iter();
        let calls = changes.filter_map(|(key, value)| {
            let labels = key.strip_prefix("store_calls_total{operation=")?.strip_suffix('}')?;
            Some((labels.replace(",outcome=", " "), value))
        });
        calls.collect()
    }

    /// Returns a guard of `a` held by a new instance, after its metrics have been read.
    async fn held(&self) -> Guard {
        let guard = self.client().lock("a").unwrap().acquire(TTL).await.unwrap();
        self.recorder.take_changes();
        guard
    }

    /// Returns an election of `a` that leads, after its metrics have been read.
    async fn leading(&self, job: impl Job) -> ElectionHandle {
        let election = self.elect(&self.client(), job);
        leads(&election).await;
        self.recorder.take_changes();
        election
    }

    fn elect(&self, client: &Client, job: impl Job) -> ElectionHandle {
        client.election("a").unwrap().spawn(job)
    }

    /// Releases the lease without the holder's knowledge.
    async fn release_held_lease(&self) {
        let lease = *self.store.state.acquire_ids.lock().unwrap().last().unwrap();
        self.store.inner.release(&LockName::new("a").unwrap(), lease).await.unwrap();
    }
}

async fn leads(election: &ElectionHandle) {
    election.watch().wait_for(Status::is_leading).await.unwrap();
}

fn job() -> impl Job {
    job_fn(|leadership: leasehold_core::Leadership| async move {
        leadership.cancelled().await;
        Ok(())
    })
}

fn changes<const N: usize>(values: [(&str, f64); N]) -> Vec<(String, f64)> {
    values.map(|(key, value)| (key.to_owned(), value)).into()
}

#[tokio::test(start_paused = true)]
async fn a_term_is_measured_from_start_to_stop() {
    let harness = Harness::new();
    let election = harness.elect(&harness.client(), job());
    leads(&election).await;
    assert_eq!(
        harness.take_changes(),
        changes([("leading{lock=a}", 1.0), ("terms_total{lock=a}", 1.0)])
    );
    sleep(HEARTBEAT_INTERVAL * 4 + SETTLE_TIME).await;
    let renewals = changes([
        ("renewal_time_to_deadline_seconds", 4.0),
        ("renewals_total{outcome=extended}", 4.0),
    ]);
    assert_eq!(harness.take_changes(), renewals);
    election.shutdown().await;
    let ended =
        changes([("leading{lock=a}", 0.0), ("terms_ended_total{lock=a,reason=shut_down}", 1.0)]);
    assert_eq!(harness.take_changes(), ended);
}

#[tokio::test(start_paused = true)]
async fn remaining_trust_at_renewal_is_recorded() {
    let harness = Harness::new();
    let election = harness.leading(job()).await;
    sleep(HEARTBEAT_INTERVAL + SETTLE_TIME).await;
    harness.store.state.renew_fails.store(true, SeqCst);
    sleep(HEARTBEAT_INTERVAL).await;
    harness.store.state.renew_fails.store(false, SeqCst);
    sleep(HEARTBEAT_INTERVAL / 2).await;
    let left = harness.recorder.recorded("renewal_time_to_deadline_seconds");
    // This is the ttl without its margin of a twentieth, minus the interval, and minus the half
    // interval until the retry.
    let expected = [14.25 - 3.0, 14.25 - 4.5];
    let near = |(left, expected): (&f64, f64)| (left - expected).abs() < 0.01;
    assert!(left.len() == 2 && left.iter().zip(expected).all(near), "{left:?}");
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn failed_heartbeats_are_counted() {
    let harness = Harness::new();
    let election = harness.leading(job()).await;
    harness.store.state.renew_fails.store(true, SeqCst);
    let stepped_down = |status: &Status| !status.is_leading();
    election.watch().wait_for(stepped_down).await.unwrap();
    let failed = changes([
        ("leading{lock=a}", 0.0),
        ("renewals_total{outcome=failed}", 4.0),
        ("terms_ended_total{lock=a,reason=heartbeats_failed}", 1.0),
    ]);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.take_changes(), failed);
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_is_counted() {
    let harness = Harness::new();
    let election = harness.leading(job()).await;
    harness.release_held_lease().await;
    sleep(SETTLE_TIME).await;
    let lost = changes([
        ("renewals_total{outcome=lost}", 1.0),
        ("terms_ended_total{lock=a,reason=lost}", 1.0),
        ("terms_total{lock=a}", 1.0),
    ]);
    assert_eq!(harness.take_changes(), lost, "the instance leads again");
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn disabled_gauge_follows_disable_and_enable() {
    let harness = Harness::new();
    let client = harness.client();
    let election = harness.leading(job()).await;
    client.disable("a", "upgrade").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let disabled = changes([
        ("disabled{lock=a}", 1.0),
        ("leading{lock=a}", 0.0),
        ("renewals_total{outcome=disabled}", 1.0),
        ("terms_ended_total{lock=a,reason=disabled}", 1.0),
    ]);
    assert_eq!(harness.take_changes(), disabled);
    client.enable("a").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let enabled = changes([
        ("disabled{lock=a}", 0.0),
        ("leading{lock=a}", 1.0),
        ("terms_total{lock=a}", 1.0),
    ]);
    assert_eq!(harness.take_changes(), enabled);
    client.disable("a", "upgrade").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    election.shutdown().await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(harness.recorder.value("disabled{lock=a}"), Some(0.0), "the instance has left");
}

#[tokio::test(start_paused = true)]
async fn an_overrunning_stop_is_counted() {
    let harness = Harness::new();
    let stuck = start_stop(|_| async { Ok(()) }, |_| std::future::pending::<()>());
    let election = harness.leading(stuck).await;
    let stopping = tokio::spawn(election.shutdown());
    sleep(Duration::from_secs(1)).await;
    let asked = changes([("terms_ended_total{lock=a,reason=shut_down}", 1.0)]);
    assert_eq!(harness.take_changes(), asked, "the job still runs");
    stopping.await.unwrap();
    let aborted = changes([("leading{lock=a}", 0.0), ("term_overruns_total{lock=a}", 1.0)]);
    assert_eq!(harness.take_changes(), aborted);
}

#[tokio::test(start_paused = true)]
async fn terms_ended_has_failed_and_resigned() {
    let harness = Harness::new();
    let failing = job_fn(|_| async { Err("no config".into()) });
    let election = harness.elect(&harness.client(), failing);
    sleep(Duration::from_millis(1)).await;
    let failed =
        changes([("terms_ended_total{lock=a,reason=failed}", 1.0), ("terms_total{lock=a}", 1.0)]);
    assert_eq!(harness.take_changes(), failed);
    election.shutdown().await;
    let election = harness.leading(job()).await;
    election.resign().await;
    let resigned =
        changes([("leading{lock=a}", 0.0), ("terms_ended_total{lock=a,reason=resigned}", 1.0)]);
    assert_eq!(harness.take_changes(), resigned);
    election.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_takeover_is_counted_after_another_leader() {
    let harness = Harness::new();
    let first = harness.leading(job()).await;
    let second = harness.elect(&harness.client(), job());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(harness.take_changes(), []);
    first.shutdown().await;
    leads(&second).await;
    let taken_over = changes([
        ("takeovers_total{lock=a}", 1.0),
        ("terms_ended_total{lock=a,reason=shut_down}", 1.0),
        ("terms_total{lock=a}", 1.0),
    ]);
    assert_eq!(harness.take_changes(), taken_over);
    // The instance's next term follows its own term, so it is not a takeover.
    second.resign().await;
    leads(&second).await;
    assert_eq!(harness.recorder.value("takeovers_total{lock=a}"), Some(1.0));
    assert_eq!(harness.recorder.value("terms_total{lock=a}"), Some(3.0));
    second.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_guard_is_measured_from_acquire_to_release() {
    let harness = Harness::new();
    let lock = harness.client().lock("a").unwrap();
    let guard = lock.acquire(TTL).await.unwrap();
    let held = changes([("acquire_wait_seconds{outcome=acquired}", 1.0), ("locks_held", 1.0)]);
    assert_eq!(harness.take_changes(), held);
    sleep(HEARTBEAT_INTERVAL + SETTLE_TIME).await;
    let renewed = changes([
        ("renewal_time_to_deadline_seconds", 1.0),
        ("renewals_total{outcome=extended}", 1.0),
    ]);
    assert_eq!(harness.take_changes(), renewed);
    guard.release().await.unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.take_changes(), changes([("locks_held", 0.0)]));
    // A single try is not a wait.
    let guard = lock.try_acquire().await.unwrap().unwrap();
    assert_eq!(harness.take_changes(), changes([("locks_held", 1.0)]));
    drop(guard);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.take_changes(), changes([("locks_held", 0.0)]));
}

#[tokio::test(start_paused = true)]
async fn lost_guards_are_counted_by_reason() {
    let harness = Harness::new();
    let gone = harness.held().await;
    harness.release_held_lease().await;
    gone.lost().await;
    let lost = changes([
        ("locks_held", 0.0),
        ("locks_lost_total{reason=gone}", 1.0),
        ("renewals_total{outcome=lost}", 1.0),
    ]);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.take_changes(), lost);
    drop(gone);

    let disabled = harness.held().await;
    harness.client().disable("a", "upgrade").await.unwrap();
    disabled.lost().await;
    let lost = changes([
        ("locks_held", 0.0),
        ("locks_lost_total{reason=disabled}", 1.0),
        ("renewals_total{outcome=disabled}", 1.0),
    ]);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(harness.take_changes(), lost);
    disabled.release().await.unwrap();
    harness.client().enable("a").await.unwrap();

    let expired = harness.held().await;
    harness.store.state.renew_fails.store(true, SeqCst);
    expired.lost().await;
    sleep(Duration::from_millis(1)).await;
    let lost = harness.take_changes();
    assert!(lost.contains(&("locks_lost_total{reason=expired}".to_owned(), 1.0)), "{lost:?}");
    assert!(lost.contains(&("locks_held".to_owned(), 0.0)), "{lost:?}");
    assert!(lost.iter().any(|(key, _)| key == "renewals_total{outcome=failed}"), "{lost:?}");
    assert_eq!(lost.len(), 3, "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn waits_are_counted_by_outcome() {
    let harness = Harness::new();
    let guard = harness.held().await;
    let lock = harness.client().lock("a").unwrap();
    let waiting = {
        let lock = lock.clone();
        tokio::spawn(async move { lock.acquire(TTL * 4).await })
    };
    sleep(Duration::from_secs(1)).await;
    assert_eq!(harness.take_changes(), changes([("acquires_waiting", 1.0)]));
    guard.release().await.unwrap();
    let guard = waiting.await.unwrap().unwrap();
    sleep(Duration::from_millis(1)).await;
    let acquired =
        changes([("acquire_wait_seconds{outcome=acquired}", 1.0), ("acquires_waiting", 0.0)]);
    assert_eq!(harness.take_changes(), acquired);
    let waits = harness.recorder.recorded("acquire_wait_seconds{outcome=acquired}");
    assert!((1.0..1.3).contains(waits.last().unwrap()), "{waits:?}");

    let another = harness.client().lock("a").unwrap();
    another.acquire(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(harness.recorder.recorded("acquire_wait_seconds{outcome=timed_out}"), [2.0]);
    timeout(Duration::from_secs(1), another.acquire(TTL)).await.unwrap_err();
    assert_eq!(harness.recorder.recorded("acquire_wait_seconds{outcome=cancelled}"), [1.0]);
    assert_eq!(harness.recorder.value("acquires_waiting"), Some(0.0));
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn store_calls_are_counted_by_operation_and_outcome() {
    let harness = Harness::new();
    let client = harness.client();
    client.status("a").await.unwrap();
    client.list().await.unwrap();
    client.disable("a", "upgrade").await.unwrap();
    client.enable("a").await.unwrap();
    let calls =
        changes([("disable ok", 1.0), ("enable ok", 1.0), ("get ok", 1.0), ("list ok", 1.0)]);
    assert_eq!(harness.calls(), calls);

    let guard = client.lock("a").unwrap().try_acquire().await.unwrap().unwrap();
    sleep(HEARTBEAT_INTERVAL + SETTLE_TIME).await;
    harness.store.state.renew_fails.store(true, SeqCst);
    sleep(HEARTBEAT_INTERVAL).await;
    harness.store.state.renew_fails.store(false, SeqCst);
    guard.release().await.unwrap();
    let calls = changes([
        ("acquire ok", 1.0),
        ("release ok", 1.0),
        // One read follows when the watch is open, because changes before it caused no hint.
        ("renew ok", 2.0),
        ("renew unavailable", 1.0),
        ("watch ok", 1.0),
    ]);
    assert_eq!(harness.calls(), calls);

    harness.store.state.all_hang.store(true, SeqCst);
    client.lock("b").unwrap().try_acquire().await.unwrap_err();
    assert_eq!(harness.calls(), changes([("acquire outcome_unknown", 1.0)]));
    let took = harness.recorder.recorded("store_call_seconds{operation=acquire}");
    assert_eq!(took, [0.0, 9.25], "calls are timed by the client's clock");
}

#[tokio::test(start_paused = true)]
async fn a_failed_watch_is_counted() {
    let harness = Harness::new();
    harness.store.set_watch(WatchFault::Refused);
    let guard = harness.client().lock("a").unwrap().try_acquire().await.unwrap().unwrap();
    sleep(Duration::from_millis(10)).await;
    assert!(harness.calls().contains(&("watch unavailable".to_owned(), 1.0)));
    guard.release().await.unwrap();
}

/// Ten thousand locks must not create ten thousand series.
#[tokio::test(start_paused = true)]
async fn lock_metrics_have_no_name_label() {
    let harness = Harness::new();
    let client = harness.client();
    for number in 0..50 {
        let lock = client.lock(format!("order-{number}")).unwrap();
        lock.acquire(TTL).await.unwrap().release().await.unwrap();
    }
    let series = harness.recorder.series();
    assert!(series.iter().all(|key| !key.contains("order-")), "{series:?}");
    assert!(series.len() < 60, "{} series", series.len());
}
