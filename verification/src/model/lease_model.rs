//! This module defines the model as a whole: its participants, and the rule that is removed.

use std::time::Duration;

use leasehold_core::{LockStore, MemoryStore, Result, Settings, Timing};

use super::budget::Budget;
use super::mutation::Mutation;
use super::participant::Participant;
use super::state::ModelState;
use super::units::{TTL, UNIT};

/// This model has a few participants that want one name: candidates of an election, callers of a
/// lock, or both.
#[derive(Clone, Debug)]
pub struct LeaseModel {
    candidates: usize,
    lock_callers: usize,
    budget: Budget,
    pub(super) mutation: Option<Mutation>,
    pub(super) timing: Timing,
}

impl LeaseModel {
    /// Creates the model of the engine as it ships.
    ///
    /// # Errors
    /// This fails if the model's settings contradict each other.
    pub fn new(candidates: usize, lock_callers: usize, budget: Budget) -> Result<Self> {
        let settings = Settings::new()
            .ttl(UNIT * u32::from(TTL))
            .margin(UNIT)
            .stop_grace(UNIT)
            .heartbeat_retries(1)
            .heartbeat_interval(UNIT * 2)
            .poll_interval(UNIT * 2);
        let timing = settings.resolve(&MemoryStore::new().capabilities())?;
        Ok(Self { candidates, lock_callers, budget, mutation: None, timing })
    }

    /// Returns the same model without one of its rules.
    #[must_use]
    pub fn without(mut self, mutation: Mutation) -> Self {
        if mutation == Mutation::NoMargin {
            self.timing.margin = Duration::ZERO;
        }
        Self { mutation: Some(mutation), ..self }
    }

    pub(super) fn budget(&self) -> Budget {
        self.budget
    }

    pub(super) fn participants(&self) -> usize {
        self.candidates + self.lock_callers
    }

    /// Creates the participant at that position; the candidates come first.
    pub(super) fn participant(&self, at: usize) -> Participant {
        if at < self.candidates {
            Participant::candidate(&self.timing)
        } else {
            Participant::lock_caller(&self.timing)
        }
    }

    /// Returns for how many units a name may have no leader once nothing prevents one. The lease of
    /// a participant that has crashed expires, and every waiter knows when. Only after other faults
    /// may an instance also wait for a call that was lost, and then pause after the failure.
    pub(super) fn takeover_limit(&self, state: &ModelState) -> u8 {
        let faults = self.timing.call_limit() + self.timing.poll_interval;
        let longest = self.timing.ttl + if state.had_faults { faults } else { Duration::ZERO };
        u8::try_from(longest.as_secs()).unwrap_or(u8::MAX) + 1
    }
}
