//! This module defines the participants that want the lock.

use std::time::Duration;

use leasehold_core::lease::{Machine, RenewalWindow};
use leasehold_core::{Moment, Timing};

use super::units::NOW;
use crate::model::LeaseId;

/// A participant wants the lock: it is the machine that ships, and the part of its driver around it.
/// It waits, has a guard, drops that once it is lost, and waits again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Participant {
    /// This is the machine. All its times are relative to the present.
    pub machine: Machine,
    /// This is the lease id of the latest attempt, while its entry may be live or may still be made.
    pub lease: Option<LeaseId>,
    /// This is the window of a renewal that was not sent yet.
    pub window: Option<RenewalWindow>,
    /// This is the time until which the entry is trusted, or the origin if it is not trusted.
    pub trust: Moment,
    /// This is true while a hint was not delivered. It may be late, or lost.
    pub hinted: bool,
    /// This is true while the participant does nothing.
    pub paused: bool,
    /// This is the time for which its clock cannot slip again.
    pub until_next_slip: u8,
}

impl Participant {
    pub(super) fn new(timing: &Timing) -> Self {
        Self {
            machine: Machine::for_lock(timing, NOW).with_entry(),
            lease: None,
            window: None,
            trust: Moment::ORIGIN,
            hinted: false,
            paused: false,
            until_next_slip: 0,
        }
    }

    /// Returns whether it trusts its entry, by its own clock.
    pub fn trusts(&self) -> bool {
        NOW < self.trust
    }

    /// Returns whether it must act before time may pass. It need not follow a hint.
    pub(super) fn is_busy(&self) -> bool {
        let wake = self.machine.next_tick();
        !self.paused
            && (self.window.is_some_and(|window| window.latest <= NOW)
                || wake.is_some_and(|wake| wake.at + wake.jitter <= NOW))
    }

    /// Lets one unit of time pass.
    pub(super) fn pass(&mut self, unit: Duration) {
        self.machine = self.machine.shifted_back(unit);
        self.window = self.window.map(|window| window.shifted_back(unit));
        self.trust = self.trust.saturating_sub(unit);
        self.until_next_slip = self.until_next_slip.saturating_sub(1);
    }
}
