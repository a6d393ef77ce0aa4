//! A waiter drives the machine of one call that waits for a lock until it gets a grant.

use std::sync::Arc;

use crate::engine::Engine;
use crate::lease::machine::{Action, Event, Machine};
use crate::lease::{AcquireAttempt, LeaseRequests, TickTimer};
use crate::{FencingToken, LockName, Moment, Timing};

/// A waiter is one call that waits for a lock.
///
/// Dropping the waiter releases a lease that was granted to it.
pub(super) struct Waiter {
    pub(super) engine: Arc<Engine>,
    pub(super) name: LockName,
    pub(super) timing: Timing,
    pub(super) machine: Machine,
    pub(super) requests: LeaseRequests,
    pub(super) timer: TickTimer,
}

/// This grant ends a wait.
pub(super) struct Granted {
    pub(super) attempt: AcquireAttempt,
    pub(super) token: FencingToken,
    pub(super) deadline: Moment,
}

impl Waiter {
    pub(super) fn new(engine: Arc<Engine>, name: LockName, timing: Timing) -> Self {
        Self {
            machine: Machine::for_lock(&timing, engine.now()),
            requests: LeaseRequests::new(
                engine.clone(),
                name.clone(),
                timing.clone(),
                timing.margin,
            ),
            timer: TickTimer::default(),
            engine,
            name,
            timing,
        }
    }

    /// Passes the event to the machine, performs the returned actions, and returns the grant if
    /// there is one.
    pub(super) fn handle(&mut self, event: Event) -> Option<Granted> {
        let mut granted = None;
        for action in self.machine.handle(event, self.engine.now()) {
            match action {
                Action::Send(request) => self.requests.send(request),
                Action::Granted { token, deadline } => granted = Some((token, deadline)),
                // These concern a lease that is held, and a grant ends the wait.
                Action::ExtendTrust(_) | Action::Lost { .. } => {}
            }
        }
        let (token, deadline) = granted?;
        Some(Granted { attempt: self.requests.take_attempt()?, token, deadline })
    }
}
