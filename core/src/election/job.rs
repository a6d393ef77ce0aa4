//! What a leader runs.

use async_trait::async_trait;

use super::Leadership;
use super::StopReason;

/// What a job's `start` may fail with.
pub type JobError = Box<dyn std::error::Error + Send + Sync>;

/// Something that runs on the leader only.
///
/// For each term, on the instance that leads, `start` is called once, and then `stop` exactly
/// once, also when `start` failed or panicked. No other instance's term starts before, unless
/// `stop` outlasts the lease.
///
/// A pair of closures serves as a job too: see [`job_fn`] and [`start_stop`]. An implementation of
/// the trait is written under [`#[async_trait]`](crate::async_trait).
#[async_trait]
pub trait Job: Send + Sync + 'static {
    /// Begins the term's work.
    ///
    /// It may set things going and return, or work for as long as it leads; the term goes on
    /// either way, unless the job says [`ends_when_start_returns`](Self::ends_when_start_returns). `stop` is called
    /// no earlier than at its first await. A long one watches [`Leadership::cancelled`], and hands
    /// [`Leadership::token`] to whatever can refuse an older one.
    ///
    /// It runs in the runtime that the election was spawned in. Heartbeats do not: they go on while
    /// every thread of that runtime computes or blocks, and so does the term, until `stop` can run
    /// or the lease is over. Work that does not await can be neither cancelled nor aborted; see
    /// [`stop`](Self::stop) for what follows.
    ///
    /// # Errors
    /// An error ends the term with [`StopReason::Failed`]; this instance campaigns again after a
    /// poll interval, so that another can try first.
    ///
    /// # Cancel safety
    /// It runs in a task of its own, which is aborted when the stop grace or the lease is over.
    async fn start(&self, leadership: Leadership) -> Result<(), JobError>;

    /// Ends the term's work.
    ///
    /// It is called while a long `start` may still be running, whose leadership has just been
    /// cancelled. The lease is released once both have come to their end. A task that `start` has
    /// spawned is the job's to end, also when `stop` is aborted: one held in a
    /// [`JoinSet`](tokio::task::JoinSet) that `stop` takes out of the job ends with it.
    ///
    /// If `start` and `stop` have not ended within the stop grace, they are aborted, and the lease
    /// is *not* released: work that they began may go on, in `spawn_blocking` or without awaiting,
    /// so the lease runs out by itself before another instance leads.
    ///
    /// # Cancel safety
    /// It runs in a task of its own, which is aborted when the stop grace or the lease is over.
    async fn stop(&self, reason: &StopReason);

    /// Returns whether the term ends, with [`StopReason::Finished`], when `start` returns without
    /// an error. This instance then campaigns again after a poll interval.
    ///
    /// The default is `false`: a `start` that returns has only begun work, which goes on until
    /// `stop`.
    fn ends_when_start_returns(&self) -> bool {
        false
    }
}

/// A job that is one future: the term's work.
///
/// It ends soon after [`Leadership::cancelled`], or is aborted when the grace is over. When it ends
/// earlier, the term ends with it: after `Ok` with [`StopReason::Finished`], after an error with
/// [`StopReason::Failed`]. Either way this instance campaigns again after a poll interval, so that
/// another can lead first. Use [`start_stop`] or implement [`Job`] for a job whose `start` returns
/// while its work goes on.
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

/// A job of two closures. The term goes on when `start` returns, until `stop` is called.
///
/// ```
/// use leasehold_core::election::{start_stop, Leadership, StopReason};
///
/// let job = start_stop(
///     |leadership: Leadership| async move {
///         println!("leading under token {}", leadership.token());
///         Ok(())
///     },
///     |reason: StopReason| async move { println!("stopped: {reason}") },
/// );
/// # let _ = job;
/// ```
pub fn start_stop<F, Fut, G, Gut>(start: F, stop: G) -> impl Job
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
