//! A waiter drives the machine of one call that waits for a lock until it gets a grant.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Change, Engine};
use crate::lease::machine::{Action, Event, Machine, Request};
use crate::lease::{
    AcquireAttempt, EntryOptions, GrantedLease, HintSpread, LeaseRequests, RenewalWindow, TickTimer,
};
use crate::{FencingToken, LockName, Moment, Timing};

/// A waiter is one call that waits for a lock.
///
/// Dropping the waiter releases a lease that was granted to it.
pub(super) struct Waiter {
    pub(super) engine: Arc<Engine>,
    pub(super) name: LockName,
    pub(super) machine: Machine,
    pub(super) requests: LeaseRequests,
    pub(super) timer: TickTimer,
    pub(super) hint_spread: HintSpread,
}

/// This grant ends a wait.
pub(super) struct Granted {
    pub(super) attempt: AcquireAttempt,
    pub(super) token: FencingToken,
    /// This is the smallest token whose holder may still use the lock.
    pub(super) floor: FencingToken,
    /// The lease may be trusted until this moment.
    pub(super) deadline: Moment,
    pub(super) first_renewal: FirstRenewal,
}

/// The machine has asked for this renewal of a lease that was just granted; the guard requests it.
pub(super) struct FirstRenewal {
    pub(super) window: RenewalWindow,
    /// The lease must be renewed by this moment, or its holder has to stop.
    pub(super) renew_by: Moment,
}

impl Waiter {
    /// Creates the waiter of a call that acquires an exclusive lock, or enters a queue with these
    /// options.
    pub(super) fn new(
        engine: Arc<Engine>,
        name: LockName,
        timing: Arc<Timing>,
        without_job: Arc<Timing>,
        entry: Option<EntryOptions>,
    ) -> Self {
        let reserved = timing.margin;
        let machine = Machine::without_job(without_job, engine.now());
        let machine = if entry.is_some() { machine.with_entry() } else { machine };
        Self {
            machine,
            requests: LeaseRequests::new(engine.clone(), name.clone(), timing, reserved, entry),
            timer: TickTimer::default(),
            hint_spread: HintSpread::default(),
            engine,
            name,
        }
    }

    /// Returns the event of a change, or `None` if it is a hint that is held back for a time within
    /// that spread.
    pub(super) fn event_of(&mut self, change: Change, spread: Duration) -> Option<Event> {
        let engine = &self.engine;
        let draw = |spread| engine.jitter(spread);
        let held_back =
            change == Change::Hint && !self.hint_spread.take(engine.now(), spread, draw);
        (!held_back).then(|| change.into())
    }

    /// Passes the event to the machine, performs the returned actions, and returns the grant if
    /// there is one.
    pub(super) fn handle(&mut self, event: Event) -> Option<Granted> {
        let (mut granted, mut first_window) = (None, None);
        for action in self.machine.handle(event, self.engine.now()) {
            match action {
                // The guard renews a lease that is held, and the waiter an entry that waits.
                Action::Send(Request::Renew(window)) if granted.is_some() => {
                    first_window = Some(window);
                }
                Action::Send(request) => {
                    if matches!(request, Request::Acquire(_)) {
                        self.hint_spread.request_sent();
                    }
                    self.requests.send(request);
                }
                Action::Granted { token, deadline } => granted = Some((token, deadline)),
                // These concern a lease that is held, and a grant ends the wait.
                Action::ExtendTrust(_) | Action::Lost { .. } => {}
            }
        }
        let ((token, deadline), window) = granted.zip(first_window)?;
        let GrantedLease { attempt, renew_by, floor } = self.requests.take_lease(token)?;
        let first_renewal = FirstRenewal { window, renew_by };
        Some(Granted { attempt, token, floor, deadline, first_renewal })
    }
}
