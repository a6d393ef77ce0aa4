//! An election's machine handles these events.

use crate::lease::machine::Event as LeaseEvent;

/// An event tells the machine what happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Something happened to the lease, or the moment of
    /// [`Machine::next_tick`](super::Machine::next_tick) has come.
    Lease(LeaseEvent),
    /// The job's `start` failed or panicked.
    StartFailed(String),
    /// The job finished its work.
    Finished,
    /// The job's `start` and `stop` have both ended, aborted or not.
    JobEnded,
    /// A newer term has raised the fence.
    Stale,
    /// The leader should give up the lead and stay a candidate.
    Resign,
    /// This instance should leave the election.
    ShutDown,
    /// The application's runtime was shut down, and the job's tasks with it: this instance must
    /// leave the election.
    RuntimeShutDown,
}

impl Event {
    /// The moment of [`Machine::next_tick`](super::Machine::next_tick) has come, or may have come.
    pub const TICK: Self = Self::Lease(LeaseEvent::Tick);
}
