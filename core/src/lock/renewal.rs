//! A guard's lease is renewed by a task that starts with its first heartbeat.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tracing::warn;

use crate::engine::{Engine, LeaseTick, RenewalHandle, Subscription};
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

/// The guard's task renews one lease until it is lost.
///
/// It is polled by hand: an asynchronous function has room for each future that it waits for, which
/// would be most of the memory of a held lock.
pub(super) struct GuardTask {
    engine: Arc<Engine>,
    name: LockName,
    trust: Arc<TrustDeadline>,
    machine: Machine,
    renewals: InFlightRenewals,
    /// These are the hints, once the task was started.
    hints: Option<Subscription>,
    /// This is the machine's next tick, once the task waits for it.
    tick: Option<LeaseTick>,
}

impl Drop for GuardTask {
    fn drop(&mut self) {
        self.engine.store.metrics().lock_ended();
    }
}

impl Future for GuardTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let event = ready!(self.poll_event(context));
            // The machine may need its next tick at another moment.
            self.tick = None;
            if let Some(reason) = self.handle(event) {
                self.lose(reason);
                return Poll::Ready(());
            }
        }
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
        Box::new(Self { engine, name, trust, machine, renewals, hints: None, tick: None })
    }

    /// Starts the task in the client's background.
    fn start(mut self: Box<Self>) -> AbortHandle {
        // The subscription begins before the first heartbeat is sent: its answer tells of every
        // change until then, and the hints of those that follow.
        self.hints = Some(self.engine.hint_dispatcher.subscribe(self.name.clone()));
        let background = self.engine.background.runtime();
        background.spawn(self).abort_handle()
    }

    /// Waits for the next event.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if let Poll::Ready((reply, in_flight)) = self.renewals.poll_next(context) {
            let reply = Reply::Renew { reply, in_flight };
            self.record(&reply);
            return Poll::Ready((&reply).into());
        }
        let (engine, machine) = (&self.engine, &self.machine);
        // A held lease's tick has no jitter.
        let next_tick = || engine.heartbeat.tick(machine.next_tick().map(|next| next.at));
        let tick = self.tick.get_or_insert_with(next_tick);
        if Pin::new(tick).poll(context).is_ready() {
            return Poll::Ready(Event::Tick);
        }
        match &self.hints {
            Some(hints) => hints.poll_changed(context).map(Event::from),
            None => Poll::Pending,
        }
    }

    /// Passes the event to the machine and performs the returned actions. Returns the reason if the
    /// lease is lost.
    fn handle(&mut self, event: Event) -> Option<LossReason> {
        for action in self.machine.handle(event, self.engine.now()) {
            match action {
                Action::Send(Request::Renew(window)) => self.renewals.request(window),
                Action::ExtendTrust(deadline) if self.trust.extend(deadline) => {}
                Action::ExtendTrust(_) => return Some(LossReason::Expired),
                Action::Lost { reason, .. } => return Some(reason),
                // The machine got its grant before this task started, and the guard's attempt
                // releases the lease.
                Action::Granted { .. }
                | Action::Send(Request::Acquire(_) | Request::Release(_)) => {}
            }
        }
        (!self.trust.is_held()).then_some(LossReason::Expired)
    }

    /// Ends the trust in the lease, which is lost.
    fn lose(&self, reason: LossReason) {
        self.engine.store.metrics().lock_lost(&reason);
        let (lock, store) = (self.name.as_str(), self.engine.store.inner().label());
        warn!(lock, store, loss = %reason, "lost a held lock");
        match reason {
            LossReason::Disabled { .. } => self.trust.stop_renewing(reason),
            LossReason::Expired | LossReason::Gone => self.trust.expire_now(Some(reason)),
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
