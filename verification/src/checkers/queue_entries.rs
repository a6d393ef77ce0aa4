//! This module tracks the entries of queues, as the store's actions show them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::history::{Event, InstanceId, NameId};

/// This is an entry that was made and has not left.
#[derive(Debug)]
pub(super) struct SeenEntry {
    pub(super) process: InstanceId,
    pub(super) weight: u32,
    /// The store last gave it a whole ttl at this time, by a clock that may drift.
    extended: Duration,
    /// The store has said that it holds the lock.
    pub(super) is_granted: bool,
    /// Its name was disabled since it was made, so it is not renewed.
    pub(super) is_ending: bool,
}

impl SeenEntry {
    /// Returns whether the entry has not expired, even if the store's clock runs fast.
    pub(super) fn is_certainly_live(&self, ttl: Duration, now: Duration) -> bool {
        now < self.extended + ttl.mul_f64(0.998)
    }

    /// Returns whether the entry may be live because the store's clock runs slowly.
    pub(super) fn may_be_live(&self, ttl: Duration, now: Duration) -> bool {
        now < self.extended + ttl.mul_f64(1.002)
    }
}

/// These are the entries of each name, in the order of their tokens.
#[derive(Debug, Default)]
pub(super) struct SeenQueues {
    queues: BTreeMap<NameId, BTreeMap<u64, SeenEntry>>,
}

impl SeenQueues {
    pub(super) fn see(&mut self, now: Duration, event: &Event) {
        match event {
            Event::Entered(process, name, token, weight) => {
                let (process, weight, extended) = (*process, *weight, now);
                let (is_granted, is_ending) = (false, false);
                let entry = SeenEntry { process, weight, extended, is_granted, is_ending };
                self.queues.entry(*name).or_default().insert(*token, entry);
            }
            Event::Granted(_, name, token) => {
                if let Some(entry) = self.entry(*name, *token) {
                    entry.is_granted = true;
                }
            }
            Event::Extended(_, name, token) => {
                if let Some(entry) = self.entry(*name, *token) {
                    entry.extended = now;
                }
            }
            Event::Released(name, token) => {
                self.queues.entry(*name).or_default().remove(token);
            }
            Event::Disabled(name) => {
                let entries = self.queues.entry(*name).or_default();
                entries.values_mut().for_each(|entry| entry.is_ending = true);
            }
            _ => {}
        }
    }

    fn entry(&mut self, name: NameId, token: u64) -> Option<&mut SeenEntry> {
        self.queues.get_mut(&name)?.get_mut(&token)
    }

    /// Removes the entries that have expired, whatever the store's clock.
    pub(super) fn remove_expired(&mut self, ttl: Duration, now: Duration) {
        for entries in self.queues.values_mut() {
            entries.retain(|_, entry| entry.may_be_live(ttl, now));
        }
    }

    /// Returns the entries of a name, in the order of their tokens.
    pub(super) fn of(&self, name: NameId) -> Option<&BTreeMap<u64, SeenEntry>> {
        self.queues.get(&name)
    }

    /// Returns the entries of all names.
    pub(super) fn all(&self) -> impl Iterator<Item = (NameId, &BTreeMap<u64, SeenEntry>)> {
        self.queues.iter().map(|(name, entries)| (*name, entries))
    }
}
