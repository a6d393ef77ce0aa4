//! On paused time, each metric changes for its own event, and no other metric changes with it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calls;
#[path = "../support/faulty_store.rs"]
mod faulty_store;
mod locks;
mod queues;
#[path = "../support/recorder.rs"]
mod recorder;
mod terms;

use std::sync::Arc;
use std::time::Duration;

use faulty_store::FaultyStore;
use leasehold_core::{
    Client, ElectionHandle, Guard, Job, LockName, LockStore, Settings, Status, TokioClock, job_fn,
};
use metrics::{LocalRecorderGuard, set_default_local_recorder};
use recorder::TestRecorder;

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
