//! The rules of one lease are a pure state machine: it takes events and the time, and returns
//! actions.
//!
//! It goes from idle to acquiring, held, ending and releasing, and back to idle; an attempt that
//! enters a queue may wait there before its lease is held. It does no I/O and has no clock or
//! randomness of its own, so that the same code runs under tokio, in a model checker and in
//! simulation. A [`Lock`](crate::Lock) and its guard drive one; so does an
//! [election's machine](crate::election::machine), which adds the phases of the job.

mod action;
mod event;
mod queue_transitions;
mod state;
mod transitions;
mod waiting_entry;

use std::sync::Arc;
use std::time::Duration;

pub use action::{Action, AttemptKind, NextTick, Request};
pub use event::{AcquireReply, Event, RenewReply};
pub use state::Cooldown;
use state::State;

use crate::{Moment, Timing};

/// A machine decides what one instance does about the lease of one name.
///
/// Its driver calls [`handle`](Self::handle) with each event, performs the returned actions in
/// order, and sends [`Event::Tick`] at [`next_tick`](Self::next_tick).
///
/// It keeps these rules for any events:
///
/// * [`Action::Granted`] comes only while enough of the lease is left for its holder to stop.
/// * An attempt whose outcome is unknown is retried under the same lease id, or released, before a
///   lease is requested under another id.
/// * Trust that has ended does not come back: no [`Action::ExtendTrust`] comes at or after the
///   deadline.
/// * A held lease is released only by [`release`](Self::release).
/// * The entry of a waiter is not trusted: it is held from the first reply that says that it holds
///   the lock, and the trust counts from the request of that reply.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    timing: Arc<Timing>,
    state: State,
    /// The latest attempt may have been granted, or may still be granted, without a reply.
    maybe_granted: bool,
    /// This counts the attempts that failed in a row.
    failures: u32,
    /// Renewals are retried for as long as the lease is trusted.
    retry_until_expiry: bool,
    /// The attempts enter a queue.
    has_entry: bool,
    /// The machine ends as soon as the calls in progress allow.
    leaving: bool,
    /// The machine has ended by this moment at the latest; it is set once the machine is leaving
    /// and holds no lease.
    leave_deadline: Option<Moment>,
}

/// The stage tells the driver the state of a [`Machine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The machine waits for its next attempt.
    Idle,
    /// An attempt is in progress.
    Acquiring,
    /// The entry waits in the queue of the name, and is renewed.
    Queued,
    /// The lease is held and renewed.
    Held,
    /// The lease is no longer renewed; its holder stops its work.
    Ending,
    /// The lease is being released.
    Releasing,
    /// The machine has ended.
    Ended,
}

impl Machine {
    /// Creates the machine of a candidate. It requests the lease once the start delay has passed,
    /// and gives the lease up once all retries of a heartbeat have failed, so that its job has time
    /// to stop.
    #[must_use]
    pub fn for_election(timing: impl Into<Arc<Timing>>, now: Moment) -> Self {
        let timing = timing.into();
        let until = now + timing.start_delay;
        Self {
            timing,
            state: State::Idle { until, jitter: Duration::ZERO, ignore_hints: true },
            maybe_granted: false,
            failures: 0,
            retry_until_expiry: false,
            has_entry: false,
            leaving: false,
            leave_deadline: None,
        }
    }

    /// Creates the machine of a lock. It requests the lease at once, and keeps it for as long as it
    /// is trusted, because there is no job to stop.
    #[must_use]
    pub fn for_lock(timing: &Timing, now: Moment) -> Self {
        Self::without_job(Arc::new(timing.without_job()), now)
    }

    /// Creates the machine of a lock, whose timing is [without a job](Timing::without_job) already,
    /// so that all machines of a lock share it.
    pub(crate) fn without_job(timing: Arc<Timing>, now: Moment) -> Self {
        Self { retry_until_expiry: true, ..Self::for_election(timing, now) }
    }

    /// Returns the machine of an attempt that enters the queue of the name.
    #[must_use]
    pub fn with_entry(self) -> Self {
        Self { has_entry: true, ..self }
    }

    /// Returns the same machine with every moment earlier by that duration, or at the clock's
    /// origin.
    ///
    /// The machine's decisions depend only on how far its moments are from the present. So a model
    /// checker can keep the present fixed, shift all other moments, and reach the same state again.
    #[must_use]
    pub fn shifted_back(&self, by: Duration) -> Self {
        let leave_deadline = self.leave_deadline.map(|at| at.saturating_sub(by));
        Self { state: self.state.shifted_back(by), leave_deadline, ..self.clone() }
    }

    /// Returns the latest moment at which the machine will have ended. It is set as soon as the
    /// machine is leaving and holds no lease.
    #[must_use]
    pub fn leave_deadline(&self) -> Option<Moment> {
        self.leave_deadline
    }

    /// Returns the present stage.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.state {
            State::Idle { .. } => Stage::Idle,
            State::Acquiring { .. } => Stage::Acquiring,
            State::Queued(_) => Stage::Queued,
            State::Held { .. } => Stage::Held,
            State::Ending { .. } => Stage::Ending,
            State::Releasing { .. } => Stage::Releasing,
            State::Ended => Stage::Ended,
        }
    }

    /// Returns when the machine needs a tick if nothing else happens.
    #[must_use]
    pub fn next_tick(&self) -> Option<NextTick> {
        match &self.state {
            State::Idle { until, jitter, .. } => Some(NextTick { at: *until, jitter: *jitter }),
            State::Held { plan } => {
                let step_down_at = plan.schedule().step_down_at();
                Some(NextTick::exactly(plan.window().retry_at.min(step_down_at)))
            }
            State::Queued(entry) => Some(NextTick::exactly(entry.next_tick())),
            State::Acquiring { .. } => self.leave_deadline.map(NextTick::exactly),
            State::Releasing { retry_at, .. } => {
                [*retry_at, self.leave_deadline].into_iter().flatten().min().map(NextTick::exactly)
            }
            State::Ending { .. } | State::Ended => None,
        }
    }

    /// Handles an event at the present moment and returns the actions to perform.
    ///
    /// An event that does not fit the state, such as a late reply, does nothing.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => self.on_tick(now, &mut actions),
            Event::AcquireReplied { sent, reply } => {
                self.on_acquire_reply(sent, reply, now, &mut actions);
            }
            Event::RenewReplied { sent, reply, in_flight } => {
                self.on_renew_reply(sent, reply, in_flight, now, &mut actions);
            }
            Event::ReleaseReplied { confirmed } => {
                self.on_release_reply(confirmed, now, &mut actions);
            }
            Event::WatchChanged if self.stage() == Stage::Held => {}
            Event::Hint | Event::WatchChanged => self.on_hint(now, &mut actions),
        }
        actions
    }

    /// Stops the renewals of a held lease, whose holder stops its work. Returns the moment until
    /// which the lease may be trusted, or `None` if no lease is held.
    pub fn end(&mut self) -> Option<Moment> {
        let State::Held { plan } = &self.state else { return None };
        let deadline = plan.schedule().deadline();
        self.state = State::Ending { deadline };
        Some(deadline)
    }

    /// Releases a lease that is held or ending, and cools down before the next attempt.
    #[must_use = "the actions have to be taken"]
    pub fn release(&mut self, cooldown: Cooldown, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        self.end();
        if let State::Ending { deadline } = self.state {
            self.start_release(deadline + self.timing.margin, cooldown, now, &mut actions);
        }
        actions
    }

    /// Lets a lease that is held or ending expire, and cools down before the next attempt.
    #[must_use = "the actions have to be taken"]
    pub fn let_expire(&mut self, cooldown: Cooldown, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        self.end();
        if let State::Ending { .. } = self.state {
            self.maybe_granted = false;
            self.cool_down(cooldown, now, &mut actions);
        }
        actions
    }

    /// Ends the machine. A lease that may have been granted, or an entry that waits, is released
    /// first; a lease that is held stays held until its holder ends it.
    #[must_use = "the actions have to be taken"]
    pub fn leave(&mut self, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        self.leave_if_idle(now, &mut actions);
        actions
    }
}
