//! An election runs a job on one instance at a time, and on another one after that one dies.

mod command;
mod driver;
mod fence;
mod handle;
mod job;
mod job_tasks;
mod leadership;
#[cfg(feature = "unstable")]
pub mod machine;
#[cfg(not(feature = "unstable"))]
#[allow(dead_code, unreachable_pub, unused_imports, reason = "the feature makes it public")]
mod machine;
mod stop_reason;

use std::sync::Arc;
use std::time::Duration;

use fence::TermFence;
pub use fence::{RaiseFence, RaiseOutcome};
pub use handle::{ElectionHandle, Role, Status};
pub use job::{Job, JobError, job_fn, job_from_fns};
pub use leadership::Leadership;
pub use stop_reason::StopReason;

use crate::engine::Engine;
use crate::{LockName, Result, Settings, Timing};

/// An election lets this instance campaign to be the leader of a name.
///
/// ```
/// use leasehold_core::{Client, MemoryStore};
/// use leasehold_core::election::{job_fn, Leadership};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> leasehold_core::Result<()> {
/// let client = Client::new(MemoryStore::new())?;
/// let election = client.election("scheduler")?.spawn(job_fn(|leadership: Leadership| async move {
///     println!("leading under token {}", leadership.token());
///     leadership.cancelled().await;
///     Ok(())
/// }));
///
/// // … until the application ends:
/// election.shutdown().await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Election {
    engine: Arc<Engine>,
    name: LockName,
    timing: Arc<Timing>,
    fence: Option<TermFence>,
}

impl Election {
    pub(crate) fn new(engine: Arc<Engine>, name: LockName, timing: Arc<Timing>) -> Self {
        Self { engine, name, timing, fence: None }
    }

    /// Returns this election with other settings.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the settings contradict
    /// each other or the store.
    pub fn settings(self, settings: &Settings) -> Result<Self> {
        let timing = settings.resolve(&self.engine.store.inner().capabilities())?;
        Ok(Self { timing: Arc::new(timing), ..self })
    }

    /// Returns this election with a fence, which it raises in each term before it starts the job.
    ///
    /// `start` is called once no transaction of an older term can commit, or when the time limit
    /// expires. In that case the fence is still being raised while the job runs, and the checks of
    /// the job's own transactions fail until it is raised. The same holds if the datastore could not
    /// be reached until then. If a newer term has raised the fence, the term ends with
    /// [`StopReason::Stale`]; if an error says that the fence cannot be raised, such as a missing
    /// privilege, with [`StopReason::Failed`].
    ///
    /// The lease is renewed in the meantime, so the limit may be longer than the ttl.
    #[must_use]
    pub fn fence(self, fence: impl RaiseFence, limit: Duration) -> Self {
        let clock = self.engine.store.clock().clone();
        Self { fence: Some(TermFence { fence: Arc::new(fence), limit, clock }), ..self }
    }

    /// Returns the name of the election.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.name
    }

    /// Campaigns, and runs the job whenever this instance leads, in the background.
    ///
    /// The job runs in the caller's runtime. The election itself, with its heartbeats, runs on
    /// Leasehold's own thread. When the caller's runtime is shut down, the job ends with it,
    /// including its `stop`, and the election ends: its lease expires.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub fn spawn(self, job: impl Job) -> ElectionHandle {
        let Self { engine, name, timing, fence } = self;
        driver::spawn(engine, name, timing, fence, Arc::new(job))
    }

    /// Campaigns, and runs the job whenever this instance leads, until the future is dropped.
    ///
    /// # Cancel safety
    /// Dropping the future shuts the election down cleanly in the background: the job is stopped,
    /// and the lease released.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn run(self, job: impl Job) {
        self.spawn(job).join().await;
    }
}
