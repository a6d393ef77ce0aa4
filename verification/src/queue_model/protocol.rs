//! This module defines the model as a whole: the kind of the lock, its participants, and the rule
//! that is removed.

use std::time::Duration;

use leasehold_core::{
    Holder, LockKind, LockName, LockStore, MemoryStore, Result, Settings, Timing,
};
use uuid::Uuid;

use super::mutation::Mutation;
use super::participant::Participant;
use super::state::QueueState;
use super::store::{QueueStore, StoredEntry};
use super::units::{TTL, UNIT, units};
use crate::model::Budget;

/// This model has a few participants that enter the queue of one name.
#[derive(Clone, Debug)]
pub struct QueueModel {
    pub(super) kind: LockKind,
    /// These are the weights of the participants' entries.
    pub(super) weights: Vec<u32>,
    pub(super) budget: Budget,
    pub(super) mutation: Option<Mutation>,
    pub(super) timing: Timing,
    pub(super) name: LockName,
    pub(super) holder: Holder,
}

impl QueueModel {
    /// Creates the model of a lock of that kind, with a participant of each of these weights.
    ///
    /// # Errors
    /// This fails if the model's settings contradict each other.
    pub fn new(kind: LockKind, weights: &[u32], budget: Budget) -> Result<Self> {
        let settings = Settings::new()
            .ttl(UNIT * u32::from(TTL))
            .margin(UNIT)
            .stop_grace(UNIT)
            .heartbeat_retries(1)
            .heartbeat_interval(UNIT * 2)
            .poll_interval(UNIT * 2);
        let timing = settings.resolve(&MemoryStore::new().capabilities())?;
        let (name, holder) = (LockName::new("model")?, Holder::new(Uuid::nil(), "model", 1));
        let weights = weights.to_vec();
        Ok(Self { kind, weights, budget, mutation: None, timing, name, holder })
    }

    /// Returns the same model without one of its rules.
    #[must_use]
    pub fn without(mut self, mutation: Mutation) -> Self {
        if mutation == Mutation::NoMargin {
            self.timing.margin = Duration::ZERO;
        }
        Self { mutation: Some(mutation), ..self }
    }

    pub(super) fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// Returns whether the store keeps entries that have expired. They have no effect unless a rule
    /// is removed, so it normally keeps none.
    pub(super) fn keeps_expired(&self) -> bool {
        self.has(Mutation::RevivedEntry) || self.has(Mutation::CountsExpired)
    }

    pub(super) fn participant(&self) -> Participant {
        Participant::new(&self.timing)
    }

    /// Returns the live entries that hold the lock. This is the rule of queues, written down here
    /// once more, by the order of arrival and without the tokens.
    pub(super) fn holders<'a>(
        &self,
        store: &'a QueueStore,
    ) -> impl Iterator<Item = &'a StoredEntry> + use<'a> {
        let mut left = self.kind.capacity();
        store.live().map_while(move |entry| {
            left = left.checked_sub(entry.weight)?;
            Some(entry)
        })
    }

    /// Returns for how many units nobody may hold the lock once nothing prevents it. The entry of a
    /// participant that has crashed expires, and every waiter knows when. Only after other faults
    /// may an instance also wait for a call that was lost, and then pause after the failure.
    pub(super) fn vacant_limit(&self, state: &QueueState) -> u8 {
        units(self.timing.ttl + self.longest_call(state)) + 1
    }

    /// Returns for how many units a waiter may not know that its entry holds the lock. Hints may be
    /// lost, so its next heartbeat says so.
    pub(super) fn unheard_limit(&self, state: &QueueState) -> u8 {
        units(self.timing.heartbeat_interval + self.longest_call(state))
    }

    /// Returns the longest time of a call without a reply and the pause after it. Without faults
    /// there is no such call.
    fn longest_call(&self, state: &QueueState) -> Duration {
        match state.had_faults {
            true => self.timing.call_limit() + self.timing.poll_interval,
            false => Duration::ZERO,
        }
    }
}
