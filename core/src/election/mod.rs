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
use crate::lease::EntryOptions;
use crate::{LockKind, LockName, Result, Settings, Timing};

/// An election lets this instance campaign to be the leader of a name, or one of
/// [several](Self::leaders).
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
    /// The candidates enter a queue, because the election has several leaders.
    entry: Option<EntryOptions>,
}

impl Election {
    pub(crate) fn new(engine: Arc<Engine>, name: LockName, timing: Arc<Timing>) -> Self {
        Self { engine, name, timing, fence: None, entry: None }
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

    /// Returns this election with this many leaders at a time, instead of one: each of them runs
    /// the job. The candidates lead in the order of arrival at the store.
    ///
    /// All instances have to name the same number. If the name is in use with another number, or as
    /// a lock, this instance logs the conflict and tries again, as after a failure of the store,
    /// until that use has ended.
    ///
    /// A resource that accepts only the latest token would refuse the other leaders: see
    /// [`Leadership::floor`].
    ///
    /// ```
    /// # use leasehold_core::{Client, MemoryStore};
    /// # use leasehold_core::election::{job_fn, Leadership};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> leasehold_core::Result<()> {
    /// # let client = Client::new(MemoryStore::new())?;
    /// let election = client.election("workers")?.leaders(3)?;
    /// let handle = election.spawn(job_fn(|leadership: Leadership| async move {
    ///     println!("one of three leaders, under token {}", leadership.token());
    ///     leadership.cancelled().await;
    ///     Ok(())
    /// }));
    /// # handle.shutdown().await;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the number is 0 or larger
    /// than [`LockKind::MAX_CAPACITY`], and with
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the store has no
    /// [queues](crate::Capabilities::queues).
    pub fn leaders(self, count: u32) -> Result<Self> {
        let kind = LockKind::leaders(count).map_err(|error| error.for_lock(&self.name))?;
        self.with_kind(kind, 1)
    }

    /// Returns this election as one for a lock of that kind: an instance leads while it holds that
    /// much of the [capacity](LockKind::capacity). So a job can share a name with the
    /// [locks](crate::Client::semaphore) of other programs, which are held only for a short time.
    ///
    /// An election is for an [exclusive](LockKind::Exclusive) lock unless it gets another kind.
    /// What [`leaders`](Self::leaders) says about other numbers and about tokens applies to other
    /// kinds too.
    ///
    /// ```
    /// # use leasehold_core::{Client, LockKind, MemoryStore};
    /// # use leasehold_core::election::{job_fn, Leadership};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> leasehold_core::Result<()> {
    /// # let client = Client::new(MemoryStore::new())?;
    /// // The job does not run while somebody has the lock `client.rw_lock("catalogue")`.
    /// let kind = LockKind::ReaderWriter;
    /// let election = client.election("catalogue")?.with_kind(kind, LockKind::WRITER_WEIGHT)?;
    /// let handle = election.spawn(job_fn(|leadership: Leadership| async move {
    ///     println!("rebuilding the catalogue under token {}", leadership.token());
    ///     Ok(())
    /// }));
    /// # handle.shutdown().await;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the weight is 0 or larger
    /// than the capacity, and with [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the
    /// kind has a queue and the store has no [queues](crate::Capabilities::queues).
    pub fn with_kind(self, kind: LockKind, weight: u32) -> Result<Self> {
        let entry = EntryOptions::new(kind).with_weight(weight, &self.name)?;
        if !kind.has_queue() {
            return Ok(Self { entry: None, ..self });
        }
        self.engine.check_queues(kind, &self.name)?;
        Ok(Self { entry: Some(entry), ..self })
    }

    /// Returns this election with attempts that do not wait in the queue of the lock: an instance
    /// that cannot lead at once makes no entry, and so holds up nobody. It tries again when it polls
    /// the store or gets a hint about the name, and others may lead before it.
    ///
    /// It changes nothing in an election without a queue. Call it after [`leaders`](Self::leaders)
    /// or [`with_kind`](Self::with_kind).
    #[must_use]
    pub fn without_waiting(self) -> Self {
        Self { entry: self.entry.map(EntryOptions::without_waiting), ..self }
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
    ///
    /// An election of [several leaders](Self::leaders) raises it to the
    /// [floor](Leadership::floor), so that the other leaders are not refused.
    #[must_use]
    pub fn fence(self, fence: impl RaiseFence, limit: Duration) -> Self {
        let clock = self.engine.store.clock().clone();
        let fence = TermFence { fence: Arc::new(fence), limit, clock, several_leaders: false };
        Self { fence: Some(fence), ..self }
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
        let Self { engine, name, timing, fence, entry } = self;
        let several_leaders = entry.is_some_and(|entry| entry.kind.capacity() > 1);
        let fence = fence.map(|fence| TermFence { several_leaders, ..fence });
        driver::spawn(engine, name, timing, (fence, entry), Arc::new(job))
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
