//! What a held lock is to its holder.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::engine::{Answer, Claim, Engine, Hold, Loss, Subscription, Trust};
use crate::{FencingToken, Grant, LockName, Moment, RenewOptions, RenewOutcome, Result, Timing};

/// A held lock, kept by the client's heartbeat until it is released or dropped.
///
/// A guard cannot stop what is done under it: ask [`is_held`](Self::is_held) before each step that
/// must not be done twice, watch [`lost`](Self::lost) beside long ones, and hand the
/// [`token`](Self::token) to whatever can refuse an older one.
///
/// Dropping it releases the lock in the background as far as the runtime lives to do so; a
/// program that is about to exit calls [`release`](Self::release).
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
        let hold = Hold::granted(timing.clone(), sent, grant.left);
        let trust = Arc::new(Trust::until(hold.deadline(), engine.calls.clock().clone()));
        if !trust.is_held() {
            return Err(claim);
        }
        let name = claim.name().clone();
        let keeper = Keeper {
            renewal: RenewOptions { name: name.clone(), lease: claim.lease(), ttl: timing.ttl },
            hints: engine.hub.subscribe(name.clone()),
            engine: engine.clone(),
            trust: trust.clone(),
            hold,
        };
        keeper.engine.calls.meters().holds();
        let keeper = tokio::spawn(keeper.keep()).abort_handle();
        let release_limit = timing.call_limit();
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
    pub async fn lost(&self) -> Loss {
        self.trust.lost().await
    }

    /// Gives the lock back, so that another can have it at once.
    ///
    /// # Errors
    /// What the store reports; then a second try is made in the background, and failing that the
    /// lease runs out by itself. A lease that was lost before is no error.
    ///
    /// # Cancel safety
    /// Safe: a dropped call releases in the background.
    pub async fn release(mut self) -> Result<()> {
        self.keeper.abort();
        self.trust.end(None);
        self.claim.release(self.release_limit).await?;
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
    renewal: RenewOptions,
    hints: Subscription,
    trust: Arc<Trust>,
    hold: Hold,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.engine.calls.meters().holds_no_more();
    }
}

impl Keeper {
    async fn keep(mut self) {
        loop {
            let Some(Answer { sent, outcome }) = self.beat().await else {
                if !self.trust.is_held() {
                    return self.lost(Loss::Expired);
                }
                self.hold.failed(self.engine.now());
                continue;
            };
            match outcome {
                // The answer came when the lease was no longer trusted: trust does not come back.
                Ok(RenewOutcome::Extended { .. }) if !self.trust.is_held() => {
                    return self.lost(Loss::Expired);
                }
                Ok(RenewOutcome::Extended { left }) => {
                    self.engine.calls.meters().confirmed(self.trust.remaining());
                    self.hold.extended(sent, left);
                    self.trust.extend(self.hold.deadline());
                }
                Ok(RenewOutcome::Lost) => return self.lost(Loss::Gone),
                Ok(RenewOutcome::Disabled { reason, .. }) => {
                    return self.lost(Loss::Disabled { reason });
                }
                // The heartbeat has turned it into an error already.
                Ok(RenewOutcome::Unknown { .. }) => self.hold.failed(self.engine.now()),
                Err(error) => {
                    tracing::warn!(%error, "a heartbeat failed and is retried");
                    self.hold.failed(self.engine.now());
                }
            }
        }
    }

    fn lost(&self, loss: Loss) {
        self.engine.calls.meters().lost(&loss);
        match loss {
            Loss::Disabled { .. } => self.trust.give_notice(loss),
            Loss::Expired | Loss::Gone => self.trust.end(Some(loss)),
        }
    }

    /// One heartbeat; `None` when its answer takes too long or the lease is over.
    async fn beat(&self) -> Option<Answer<RenewOutcome>> {
        let clock = self.engine.calls.clock();
        let mut beat = self.hold.next_beat(clock.now());
        let mut hinted = false;
        loop {
            tokio::select! {
                biased;
                answer = self.engine.heartbeat.renew(self.renewal.clone(), beat) => {
                    return Some(answer);
                }
                () = self.hints.changed(), if !hinted => {
                    hinted = true;
                    beat = self.hold.beat_now(clock.now());
                }
                () = clock.sleep_until(beat.until.min(self.hold.deadline())) => return None,
            }
        }
    }
}
