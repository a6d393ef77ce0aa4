//! What a held lock is to its holder.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tracing::warn;

use crate::engine::{
    Answer, Beat, Claim, Engine, Hold, Loss, Next, RenewalPlan, Renewals, Subscription, Trust,
};
use crate::{FencingToken, Grant, LockName, Moment, RenewOptions, RenewOutcome, Result, Timing};

/// A held lock, kept by the client's heartbeat until it is released or dropped.
///
/// A guard cannot stop what is done under it: ask [`is_held`](Self::is_held) before each step that
/// must not be done twice, watch [`lost`](Self::lost) beside long ones, and hand the
/// [`token`](Self::token) to whatever can refuse an older one.
///
/// Heartbeats run on a thread of Leasehold's own, and the first is under way before `acquire`
/// returns: a task that computes or blocks keeps its lock, also on a runtime of one thread. That
/// thread does not help when the whole process is stopped or gets no processor time, nor when the
/// store's connections are driven by the application's blocked runtime. Under a
/// [`Clock`](crate::Clock) for tests, heartbeats run in the runtime of the caller, and need it to
/// be free now and then.
///
/// Dropping the guard releases the lock in the background, at once, whatever the task that dropped
/// it does next; a program that is about to exit calls [`release`](Self::release).
#[must_use = "the lock is released as soon as its guard is dropped"]
pub struct Guard {
    engine: Arc<Engine>,
    claim: Claim,
    name: LockName,
    token: FencingToken,
    trust: Arc<Trust>,
    keeper: AbortHandle,
    release_limit: Duration,
}

impl Guard {
    /// Begins to keep the lease; gives the claim back when it came too late to be trusted.
    pub(crate) fn new(
        engine: Arc<Engine>,
        claim: Claim,
        timing: &Timing,
        sent: Moment,
        grant: Grant,
    ) -> Result<Self, Claim> {
        let hold = Hold::granted(timing.without_job(), sent, grant.left);
        let trust = Arc::new(Trust::until(hold.deadline(), engine.calls.clock().clone()));
        if !trust.is_held() {
            return Err(claim);
        }
        let name = claim.name().clone();
        let lease = RenewOptions { name: name.clone(), lease: claim.lease(), ttl: timing.ttl };
        let plan = RenewalPlan::for_guard(hold, engine.now());
        let mut renewals = Renewals::new(engine.clone(), lease, timing);
        // This is done here and not in the keeper's task, which may not run before the caller
        // awaits.
        renewals.ask(plan.beat());
        let keeper = Keeper {
            name: name.clone(),
            hints: engine.hub.subscribe(name.clone()),
            engine: engine.clone(),
            trust: trust.clone(),
            renewals,
            plan,
        };
        keeper.engine.calls.meters().holds();
        let keeper = engine.background.runtime().spawn(keeper.keep()).abort_handle();
        let release_limit = timing.leave_timeout();
        Ok(Self { engine, claim, name, token: grant.token, trust, keeper, release_limit })
    }

    /// The lock's name.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.name
    }

    /// The number of this grant, larger than that of every grant before it.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.token
    }

    /// Whether the lease may be trusted now, by the clock at this call.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.trust.is_held()
    }

    /// For how long the lease may be trusted if no heartbeat succeeds any more.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.trust.remaining()
    }

    /// Returns when the lease cannot be kept, with the reason; never while it is in order.
    ///
    /// On [`Loss::Disabled`] the lease runs on for [`remaining`](Self::remaining), to stop in.
    ///
    /// # Cancel safety
    /// Safe, and it may be called again.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn lost(&self) -> Loss {
        self.trust.lost().await
    }

    /// Releases the lock, so that another holder can acquire it at once. It waits for the store no
    /// longer than the [leave timeout](crate::Timing::leave_timeout): 5 s by default.
    ///
    /// # Errors
    /// What the store reports; then a second try is made in the background, and failing that the
    /// lease runs out by itself. A lease that was lost before is no error.
    ///
    /// # Cancel safety
    /// If the future is dropped, the lock is released in the background.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn release(self) -> Result<()> {
        let limit = self.release_limit;
        self.release_within(limit).await
    }

    /// Does the same as [`release`](Self::release), but waits for the store at most `limit`.
    ///
    /// # Errors
    /// This fails for the same reasons as [`release`](Self::release).
    ///
    /// # Cancel safety
    /// If the future is dropped, the lock is released in the background.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn release_within(mut self, limit: Duration) -> Result<()> {
        self.keeper.abort();
        self.trust.end(None);
        self.claim.release(limit).await?;
        Ok(())
    }
}

impl Drop for Guard {
    /// The claim, dropped with the guard, releases what may still be held.
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("name", &self.name)
            .field("token", &self.token)
            .field("remaining", &self.remaining())
            .field("store", &self.engine.calls.store().label())
            .finish_non_exhaustive()
    }
}

/// Renews one lease until it is lost.
struct Keeper {
    engine: Arc<Engine>,
    name: LockName,
    hints: Subscription,
    trust: Arc<Trust>,
    plan: RenewalPlan,
    renewals: Renewals,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.engine.calls.meters().holds_no_more();
    }
}

impl Keeper {
    async fn keep(mut self) {
        loop {
            let engine = self.engine.clone();
            let clock = engine.calls.clock();
            let wake = self.plan.beat().retry_at.min(self.plan.hold().deadline());
            let next = tokio::select! {
                biased;
                answer = self.renewals.next() => match self.answered(answer) {
                    Ok(next) => next,
                    Err(loss) => return self.lost(loss),
                },
                // Perhaps it was disabled: the heartbeat will say so.
                () = self.hints.changed(), if self.plan.heeds_hints() => {
                    self.plan.hinted(clock.now())
                }
                () = clock.sleep_until(wake) => self.plan.retry(clock.now()),
            };
            if !self.trust.is_held() {
                return self.lost(Loss::Expired);
            }
            if let Some(beat) = next {
                self.renewals.ask(beat);
            }
        }
    }

    /// Returns the renewal to send next, if any, or an error when the lease cannot be kept.
    fn answered(
        &mut self,
        Answer { sent, outcome }: Answer<RenewOutcome>,
    ) -> Result<Option<Beat>, Loss> {
        let (now, under_way) = (self.engine.now(), self.renewals.under_way());
        match outcome {
            // The answer came when the lease was no longer trusted, and trust is never restored.
            Ok(RenewOutcome::Extended { .. }) if !self.trust.is_held() => Err(Loss::Expired),
            Ok(RenewOutcome::Extended { left }) => {
                self.engine.calls.meters().confirmed(self.trust.remaining());
                let next = self.plan.extended(sent, left, now, under_way);
                if self.trust.extend(self.plan.hold().deadline()) {
                    Ok(next)
                } else {
                    Err(Loss::Expired)
                }
            }
            Ok(RenewOutcome::Lost) => Err(Loss::Gone),
            Ok(RenewOutcome::Disabled { reason, .. }) => Err(Loss::Disabled { reason }),
            // The heartbeat turns unknown outcomes into errors, and reports errors.
            Ok(RenewOutcome::Unknown { .. }) | Err(_) => {
                match self.plan.failed(sent, now, under_way) {
                    Next::Renew(beat) => Ok(Some(beat)),
                    Next::Wait | Next::GiveUp => Ok(None),
                }
            }
        }
    }

    fn lost(&self, loss: Loss) {
        self.engine.calls.meters().lost(&loss);
        let (lock, store) = (self.name.as_str(), self.engine.calls.store().label());
        warn!(lock, store, %loss, "a held lock cannot be kept");
        match loss {
            Loss::Disabled { .. } => self.trust.give_notice(loss),
            Loss::Expired | Loss::Gone => self.trust.end(Some(loss)),
        }
    }
}
