//! A guard's lease is renewed by a task that starts with its first heartbeat.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tracing::warn;

use crate::engine::{Engine, RenewalHandle, Subscription};
use crate::lease::machine::{Action, Event, Machine, Request};
use crate::lease::{InFlightRenewals, LossReason, Reply, TrustDeadline};
use crate::{LockName, RenewOutcome};

/// A renewal keeps the lease of one guard until it is ended.
///
/// Until the first heartbeat is sent, nothing can happen to the lease except that time passes. So
/// the guard's task waits in the queue of renewals and starts when its first one is sent: a lock
/// that is released before that costs no task.
#[derive(Debug)]
pub(super) struct Renewal {
    state: Arc<Mutex<State>>,
    first: Option<RenewalHandle>,
}

#[derive(Debug)]
enum State {
    /// The first heartbeat was not sent yet.
    Queued,
    /// The task renews the lease.
    Running(AbortHandle),
    /// The lease is no longer renewed.
    Ended,
}

impl Renewal {
    /// Lets the task start with the first heartbeat, which was already requested.
    pub(super) fn begin(task: Box<GuardTask>) -> Self {
        let state = Arc::new(Mutex::new(State::Queued));
        let first = task.renewals.latest();
        let shared = state.clone();
        let start = move || {
            let mut state = shared.lock();
            if !matches!(*state, State::Ended) {
                *state = State::Running(task.start());
            }
        };
        match &first {
            Some(first) => first.on_sent(Box::new(start)),
            None => start(),
        }
        Self { state, first }
    }

    /// Ends the renewal: no further heartbeat is requested from now on.
    pub(super) fn end(&self) {
        let before = std::mem::replace(&mut *self.state.lock(), State::Ended);
        match (before, &self.first) {
            // This drops the task, which waits in the queue.
            (State::Queued, Some(first)) => first.cancel(),
            (State::Running(task), _) => task.abort(),
            (State::Queued | State::Ended, _) => {}
        }
    }
}

/// The guard's task renews one lease until it is lost. It stays in one allocation: a future that
/// is moved from place to place has room for several copies of what it owns.
pub(super) struct GuardTask {
    engine: Arc<Engine>,
    name: LockName,
    trust: Arc<TrustDeadline>,
    machine: Machine,
    renewals: InFlightRenewals,
}

impl Drop for GuardTask {
    fn drop(&mut self) {
        self.engine.store.metrics().lock_ended();
    }
}

impl GuardTask {
    pub(super) fn new(
        engine: Arc<Engine>,
        name: LockName,
        trust: Arc<TrustDeadline>,
        machine: Machine,
        renewals: InFlightRenewals,
    ) -> Box<Self> {
        Box::new(Self { engine, name, trust, machine, renewals })
    }

    /// Starts the task in the client's background.
    fn start(self: Box<Self>) -> AbortHandle {
        // The subscription begins before the first heartbeat is sent: its answer tells of every
        // change until then, and the hints of those that follow.
        let hints = self.engine.hint_dispatcher.subscribe(self.name.clone());
        let background = self.engine.background.runtime();
        background.spawn(self.run(hints)).abort_handle()
    }

    async fn run(mut self: Box<Self>, hints: Subscription) {
        let reason = self.keep(&hints).await;
        self.engine.store.metrics().lock_lost(&reason);
        let (lock, store) = (self.name.as_str(), self.engine.store.inner().label());
        warn!(lock, store, loss = %reason, "lost a held lock");
        match reason {
            LossReason::Disabled { .. } => self.trust.stop_renewing(reason),
            LossReason::Expired | LossReason::Gone => self.trust.expire_now(Some(reason)),
        }
    }

    /// Renews the lease until it is lost, and returns the reason.
    async fn keep(&mut self, hints: &Subscription) -> LossReason {
        loop {
            // A held lease's tick has no jitter.
            let next_tick = self.machine.next_tick().map(|next| next.at);
            let tick = self.engine.heartbeat.tick(next_tick);
            let event: Event = tokio::select! {
                biased;
                (reply, in_flight) = self.renewals.next() => {
                    let reply = Reply::Renew { reply, in_flight };
                    self.record(&reply);
                    (&reply).into()
                }
                () = tick => Event::Tick,
                change = hints.changed() => change.into(),
            };
            for action in self.machine.handle(event, self.engine.now()) {
                match action {
                    Action::Send(Request::Renew(window)) => self.renewals.request(window),
                    Action::ExtendTrust(deadline) if self.trust.extend(deadline) => {}
                    Action::ExtendTrust(_) => return LossReason::Expired,
                    Action::Lost { reason, .. } => return reason,
                    // The machine got its grant before this task started, and the guard's attempt
                    // releases the lease.
                    Action::Granted { .. }
                    | Action::Send(Request::Acquire(_) | Request::Release(_)) => {}
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
