//! An election raises its fence before it starts the job of a term.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::{Instrument, info, warn};

use super::{JobError, Leadership};
use crate::{Clock, FencingToken, LockName};

/// A fence refuses the writes of older terms where the data is.
///
/// The crate `leasehold-fence` has fences for databases, and creates an implementation from a
/// closure. With [`Election::fence`](super::Election::fence) an election raises its fence.
#[async_trait]
pub trait RaiseFence: fmt::Debug + Send + Sync + 'static {
    /// Raises the fence for a term: no transaction of an older term of that name can commit once
    /// this has returned [`RaiseOutcome::Raised`].
    ///
    /// It waits at most `limit` for transactions that are still open. It may be called again for
    /// the same term, also after it succeeded.
    ///
    /// # Errors
    /// An error means that the fence cannot be raised, even if the call is repeated. A transient
    /// error is [`RaiseOutcome::TransientError`] instead.
    ///
    /// # Cancel safety
    /// Dropping the future must leave the fence as it was, or raised.
    async fn raise(
        &self,
        name: &LockName,
        token: FencingToken,
        limit: Duration,
    ) -> Result<RaiseOutcome, JobError>;

    /// Raises the fence for a term of an election of [several
    /// leaders](super::Election::leaders), whose tokens are not below `floor`: no transaction of a
    /// term with a smaller token can commit once this has returned [`RaiseOutcome::Raised`], and
    /// those of the other leaders still can.
    ///
    /// It is [`Stale`](RaiseOutcome::Stale) if another leader has raised the fence above `token`.
    /// Otherwise it is like [`raise`](Self::raise).
    ///
    /// The default fails, because a fence that only knows tokens would refuse the other leaders.
    ///
    /// # Errors
    /// This fails for the same reasons as [`raise`](Self::raise).
    ///
    /// # Cancel safety
    /// Dropping the future must leave the fence as it was, or raised.
    async fn raise_to_floor(
        &self,
        name: &LockName,
        token: FencingToken,
        floor: FencingToken,
        limit: Duration,
    ) -> Result<RaiseOutcome, JobError> {
        let _ = (name, token, floor, limit);
        Err("this fence does not support an election of several leaders".into())
    }
}

/// Raising a fence has one of these outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RaiseOutcome {
    /// No transaction of an older term can commit any longer.
    Raised,
    /// A newer term has raised the fence.
    Stale,
    /// The time limit expired, and transactions of older terms are still open. The text describes
    /// them.
    Blocked(String),
    /// The datastore could not be reached, for example during its failover, or ended the raise
    /// because of a concurrent transaction. The text describes the error.
    TransientError(String),
}

#[async_trait]
impl<T: RaiseFence + ?Sized> RaiseFence for Arc<T> {
    async fn raise(
        &self,
        name: &LockName,
        token: FencingToken,
        limit: Duration,
    ) -> Result<RaiseOutcome, JobError> {
        (**self).raise(name, token, limit).await
    }

    async fn raise_to_floor(
        &self,
        name: &LockName,
        token: FencingToken,
        floor: FencingToken,
        limit: Duration,
    ) -> Result<RaiseOutcome, JobError> {
        (**self).raise_to_floor(name, token, floor, limit).await
    }
}

/// After its time limit a raise has this long to report that the limit expired, and for which
/// sessions it waited. MySQL counts the limit in whole seconds.
const REPLY_TIME: Duration = Duration::from_secs(3);

/// This is the pause between two attempts to raise a fence.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A term fence is the fence that an election raises in each of its terms.
#[derive(Clone, Debug)]
pub(super) struct TermFence {
    pub(super) fence: Arc<dyn RaiseFence>,
    /// The job starts at the latest when the raise has taken this long.
    pub(super) limit: Duration,
    pub(super) clock: Arc<dyn Clock>,
    /// The fence is raised to the floor, so that it does not refuse the other leaders.
    pub(super) several_leaders: bool,
}

impl TermFence {
    /// Raises the fence for a new term, and returns whether its job should start.
    ///
    /// If the time limit expires first, the job starts, and another task continues to raise the
    /// fence.
    ///
    /// If a newer term has raised the fence, this reports it and waits for the end of the term.
    ///
    /// # Errors
    /// This returns a description of the error if the fence cannot be raised.
    pub(super) async fn before_start(self, leadership: &Leadership) -> Result<bool, String> {
        let outcome = tokio::select! {
            biased;
            () = leadership.cancelled() => return Ok(false),
            outcome = self.within_limit(leadership) => outcome,
        };
        match outcome {
            Ok(RaiseOutcome::Raised) => Ok(true),
            Ok(RaiseOutcome::Stale) => {
                leadership.report_stale();
                leadership.cancelled().await;
                Ok(false)
            }
            Ok(RaiseOutcome::Blocked(by) | RaiseOutcome::TransientError(by)) => {
                let lock = leadership.name.as_str();
                warn!(lock, %by, "the fence is not raised yet; starting the job");
                let raising = self.raise_beside_job(leadership.clone());
                tokio::spawn(raising.in_current_span());
                Ok(true)
            }
            Err(error) => Err(format!("the fence cannot be raised: {}", with_causes(&*error))),
        }
    }

    /// Repeats the raise after transient errors, until the time limit expires: a failover of the
    /// datastore may have caused both them and the change of the leader.
    async fn within_limit(&self, leadership: &Leadership) -> Result<RaiseOutcome, JobError> {
        let deadline = self.clock.now() + self.limit;
        loop {
            let left = deadline.saturating_since(self.clock.now());
            let outcome = self.attempt(leadership, left).await;
            let Ok(RaiseOutcome::TransientError(error)) = &outcome else { return outcome };
            let now = self.clock.now();
            if now >= deadline {
                return outcome;
            }
            let lock = leadership.name.as_str();
            warn!(lock, error, "the fence is not raised yet; trying again");
            let next = now + RETRY_PAUSE;
            if next >= deadline {
                // An attempt without time would report that it waited.
                self.clock.sleep_until(deadline).await;
                return outcome;
            }
            self.clock.sleep_until(next).await;
        }
    }

    /// Repeats the raise until it succeeds or the term ends. Until then, the checks of the job's
    /// own transactions fail, so an error does not need to end the term.
    async fn raise_beside_job(self, leadership: Leadership) {
        let lock = leadership.name.as_str();
        while leadership.is_held() {
            let pause = self.clock.sleep_until(self.clock.now() + RETRY_PAUSE);
            let attempt = async {
                pause.await;
                self.attempt(&leadership, self.limit).await
            };
            let outcome = tokio::select! {
                biased;
                () = leadership.cancelled() => return,
                outcome = attempt => outcome,
            };
            match outcome {
                Ok(RaiseOutcome::Raised) => {
                    info!(lock, "the fence is raised");
                    return;
                }
                Ok(RaiseOutcome::Stale) => {
                    leadership.report_stale();
                    return;
                }
                Ok(RaiseOutcome::Blocked(_)) => {}
                Ok(RaiseOutcome::TransientError(error)) => {
                    warn!(lock, error, "the fence is not raised yet; trying again");
                }
                Err(error) => {
                    let error = with_causes(&*error);
                    warn!(lock, error, "the fence cannot be raised; trying again");
                }
            }
        }
    }

    /// Makes one attempt, and does not wait any longer for a fence that does not respond.
    async fn attempt(
        &self,
        leadership: &Leadership,
        limit: Duration,
    ) -> Result<RaiseOutcome, JobError> {
        let late = self.clock.sleep_until(self.clock.now() + limit + REPLY_TIME);
        let (name, token) = (&leadership.name, leadership.token);
        let raise = if self.several_leaders {
            self.fence.raise_to_floor(name, token, leadership.floor(), limit)
        } else {
            self.fence.raise(name, token, limit)
        };
        tokio::select! {
            biased;
            outcome = raise => outcome,
            () = late => Ok(RaiseOutcome::Blocked(format!("no reply within {limit:?}"))),
        }
    }
}

/// Describes an error and its causes.
fn with_causes(error: &(dyn StdError + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
