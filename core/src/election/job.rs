//! A job is the work that the leader of an election does.

use async_trait::async_trait;

use super::Leadership;
use super::StopReason;

/// A job's `start` returns this error.
pub type JobError = Box<dyn std::error::Error + Send + Sync>;

/// A job runs only on the leader.
///
/// For each term, on the instance that leads, `start` is called once, and then `stop` exactly once,
/// also if `start` failed or panicked. No other instance's term starts before that, unless `stop`
/// outlasts the lease.
///
/// If the election has a [fence](super::Election::fence), a term may end before the fence is raised.
/// Then `start` is not called, and `stop` is, with the reason.
///
/// Closures can be a job too: see [`job_fn`] and [`job_from_fns`]. An implementation of the trait
/// needs the attribute [`#[async_trait]`](crate::async_trait).
#[async_trait]
pub trait Job: Send + Sync + 'static {
    /// Starts the term's work.
    ///
    /// It may start the work and return, or work for as long as it leads; the term continues either
    /// way, unless the job [`ends_when_start_returns`](Self::ends_when_start_returns). `stop` is
    /// not called before the first await of `start`. A long `start` should watch
    /// [`Leadership::cancelled`], and pass [`Leadership::token`] to any resource that can refuse an
    /// older one.
    ///
    /// It runs in the runtime that the election was spawned in. Heartbeats do not: they continue
    /// while every thread of that runtime computes or blocks, and so does the term, until `stop`
    /// can run or the lease has ended. Work that does not await can be neither cancelled nor
    /// aborted; [`stop`](Self::stop) describes the consequences.
    ///
    /// # Errors
    /// An error ends the term with [`StopReason::Failed`]. This instance campaigns again after a
    /// poll interval, so that another instance can try first.
    ///
    /// # Cancel safety
    /// It runs in its own task, which is aborted when the stop grace or the lease has ended.
    async fn start(&self, leadership: Leadership) -> Result<(), JobError>;

    /// Stops the term's work.
    ///
    /// It is called while a long `start` may still be running, whose leadership has just been
    /// cancelled. The lease is released once both have ended. The job itself must end any task that
    /// `start` spawned, also when `stop` is aborted: a task in a [`JoinSet`](tokio::task::JoinSet)
    /// that `stop` takes out of the job ends with it.
    ///
    /// If `start` and `stop` have not ended within the stop grace, they are aborted, and the lease
    /// is *not* released: their work may continue, in `spawn_blocking` or without awaiting, so the
    /// lease has to expire before another instance leads.
    ///
    /// # Cancel safety
    /// It runs in its own task, which is aborted when the stop grace or the lease has ended.
    async fn stop(&self, reason: &StopReason);

    /// Returns whether the term ends, with [`StopReason::Finished`], when `start` returns without
    /// an error. This instance then campaigns again after a poll interval.
    ///
    /// The default is `false`: a `start` that returns has only started the work, which continues
    /// until `stop`.
    fn ends_when_start_returns(&self) -> bool {
        false
    }
}

/// Creates a job from a function that returns one future, which is the term's work.
///
/// The future should end soon after [`Leadership::cancelled`]; it is aborted when the grace has
/// ended. When it ends earlier, the term ends with it: after `Ok` with [`StopReason::Finished`],
/// after an error with [`StopReason::Failed`]. Either way this instance campaigns again after a
/// poll interval, so that another can lead first. Use [`job_from_fns`] or implement [`Job`] for a job
/// whose `start` returns while its work continues.
///
/// ```
/// use leasehold_core::election::{job_fn, Leadership};
///
/// let job = job_fn(|leadership: Leadership| async move {
///     while leadership.is_held() {
///         // … one round of work …
///         tokio::select! {
///             () = leadership.cancelled() => break,
///             () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
///         }
///     }
///     Ok(())
/// });
/// # let _ = job;
/// ```
pub fn job_fn<F, Fut>(start: F) -> impl Job
where
    F: Fn(Leadership) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), JobError>> + Send + 'static,
{
    FnJob { start, stop: |_| std::future::ready(()), ends_when_start_returns: true }
}

/// Creates a job from two closures. When `start` returns, the term continues until `stop` is
/// called.
///
/// ```
/// use leasehold_core::election::{job_from_fns, Leadership, StopReason};
///
/// let job = job_from_fns(
///     |leadership: Leadership| async move {
///         println!("leading under token {}", leadership.token());
///         Ok(())
///     },
///     |reason: StopReason| async move { println!("stopped: {reason}") },
/// );
/// # let _ = job;
/// ```
pub fn job_from_fns<F, Fut, G, Gut>(start: F, stop: G) -> impl Job
where
    F: Fn(Leadership) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), JobError>> + Send + 'static,
    G: Fn(StopReason) -> Gut + Send + Sync + 'static,
    Gut: Future<Output = ()> + Send + 'static,
{
    FnJob { start, stop, ends_when_start_returns: false }
}

struct FnJob<F, G> {
    start: F,
    stop: G,
    ends_when_start_returns: bool,
}

#[async_trait]
impl<F, Fut, G, Gut> Job for FnJob<F, G>
where
    F: Fn(Leadership) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), JobError>> + Send + 'static,
    G: Fn(StopReason) -> Gut + Send + Sync + 'static,
    Gut: Future<Output = ()> + Send + 'static,
{
    async fn start(&self, leadership: Leadership) -> Result<(), JobError> {
        (self.start)(leadership).await
    }

    async fn stop(&self, reason: &StopReason) {
        (self.stop)(reason.clone()).await;
    }

    fn ends_when_start_returns(&self) -> bool {
        self.ends_when_start_returns
    }
}
