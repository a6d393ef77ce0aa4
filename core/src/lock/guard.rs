//! What a held lock is to its holder.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tracing::warn;

use super::waiter::{Granted, Waiter};
use crate::engine::{Engine, Subscription};
use crate::lease::machine::{Action, Event, Machine};
use crate::lease::{AcquireAttempt, LeaseRequests, LossReason, Reply, TickTimer, TrustDeadline};
use crate::{FencingToken, LockName, RenewOutcome, Result};

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
    attempt: AcquireAttempt,
    name: LockName,
    token: FencingToken,
    trust: Arc<TrustDeadline>,
    renewal_task: AbortHandle,
    release_limit: Duration,
}

impl Guard {
    /// Keeps the lease that was granted to a waiter.
    pub(super) fn new(waiter: Waiter, granted: Granted) -> Self {
        let Waiter { engine, name, timing, machine, requests, timer } = waiter;
        let Granted { attempt, token, deadline } = granted;
        let trust = Arc::new(TrustDeadline::new(deadline, engine.store.clock().clone()));
        let task = GuardTask {
            engine: engine.clone(),
            name: name.clone(),
            hints: engine.hint_dispatcher.subscribe(name.clone()),
            trust: trust.clone(),
            machine,
            requests,
            timer,
        };
        engine.store.metrics().lock_acquired();
        let renewal_task = engine.background.runtime().spawn(task.run()).abort_handle();
        let release_limit = timing.leave_timeout();
        Self { engine, attempt, name, token, trust, renewal_task, release_limit }
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
    /// On [`LossReason::Disabled`] the lease runs on for [`remaining`](Self::remaining), to stop in.
    ///
    /// # Cancel safety
    /// Safe, and it may be called again.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime with time enabled.
    pub async fn lost(&self) -> LossReason {
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
        self.renewal_task.abort();
        self.trust.expire_now(None);
        self.attempt.release(limit).await?;
        Ok(())
    }
}

impl Drop for Guard {
    /// The attempt, dropped with the guard, releases what may still be held.
    fn drop(&mut self) {
        self.renewal_task.abort();
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("name", &self.name)
            .field("token", &self.token)
            .field("remaining", &self.remaining())
            .field("store", &self.engine.store.inner().label())
            .finish_non_exhaustive()
    }
}

/// Renews one lease until it is lost.
struct GuardTask {
    engine: Arc<Engine>,
    name: LockName,
    hints: Subscription,
    trust: Arc<TrustDeadline>,
    machine: Machine,
    requests: LeaseRequests,
    timer: TickTimer,
}

impl Drop for GuardTask {
    fn drop(&mut self) {
        self.engine.store.metrics().lock_ended();
    }
}

impl GuardTask {
    async fn run(mut self) {
        let reason = self.keep().await;
        self.engine.store.metrics().lock_lost(&reason);
        let (lock, store) = (self.name.as_str(), self.engine.store.inner().label());
        warn!(lock, store, loss = %reason, "lost a held lock");
        match reason {
            LossReason::Disabled { .. } => self.trust.stop_renewing(reason),
            LossReason::Expired | LossReason::Gone => self.trust.expire_now(Some(reason)),
        }
    }

    /// Returns why the lease cannot be kept.
    async fn keep(&mut self) -> LossReason {
        loop {
            let tick = self.timer.sleep(self.machine.next_tick(), &self.engine);
            let event = tokio::select! {
                biased;
                reply = self.requests.next() => {
                    self.record(&reply);
                    (&reply).into()
                }
                () = tick => Event::Tick,
                () = self.hints.changed() => Event::Hint,
            };
            for action in self.machine.handle(event, self.engine.now()) {
                match action {
                    Action::Send(request) => self.requests.send(request),
                    Action::ExtendTrust(deadline) if self.trust.extend(deadline) => {}
                    Action::ExtendTrust(_) => return LossReason::Expired,
                    Action::Lost { reason, .. } => return reason,
                    // The machine was granted its lease before it came here, and keeps it.
                    Action::Granted { .. } => {}
                }
            }
            if !self.trust.is_held() {
                return LossReason::Expired;
            }
        }
    }

    fn record(&self, reply: &Reply) {
        if let Reply::Renew { reply, .. } = reply
            && let Ok(RenewOutcome::Extended { .. }) = reply.outcome
            && self.trust.is_held()
        {
            self.engine.store.metrics().record_trust_left(self.trust.remaining());
        }
    }
}
