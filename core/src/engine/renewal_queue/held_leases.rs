//! For each held lease, the queue has its next renewal and its next tick, and keeps its hints.

use std::sync::Arc;

use super::{QueuedRenewal, RenewalCaller, RenewalKey, RenewalQueue};
use crate::Moment;
use crate::engine::renewed_lease::{RenewedLease, TickKey};
use crate::lease::RenewalWindow;

/// These events of held leases have happened, and the leases are told of them next.
#[derive(Default)]
pub(in crate::engine) struct LeaseEvents {
    pub(in crate::engine) ticked: Vec<(TickKey, Arc<dyn RenewedLease>)>,
    pub(in crate::engine) hinted: Vec<Arc<dyn RenewedLease>>,
}

impl RenewalQueue {
    /// Adds the renewal of a lease and its next tick, in place of those that are given as `before`.
    /// A closed queue drops them: no task calls the lease any longer.
    pub(crate) fn request(
        &self,
        lease: Arc<dyn RenewedLease>,
        window: RenewalWindow,
        renew_by: Moment,
        next_tick: Option<Moment>,
        before: (Option<RenewalKey>, Option<TickKey>),
    ) -> RenewalKey {
        let caller = RenewalCaller::Lease { lease: lease.clone(), next_tick };
        let renewal = Box::new(QueuedRenewal { window, renew_by, caller });
        let mut state = self.state();
        let renewal_before = before.0.and_then(|key| state.remove(key));
        let tick_before = before.1.and_then(|key| state.ticks.remove(&key));
        let key = state.next_key(&renewal);
        if state.closed {
            drop(state);
            return key;
        }
        state.waiting.insert((key.due, key.number), renewal);
        let early_tick = next_tick.filter(|at| *at < key.due);
        if let Some(at) = early_tick {
            state.ticks.insert((at, key.number), lease);
        }
        self.wake_by(early_tick.unwrap_or(key.due), state);
        drop((renewal_before, tick_before));
        key
    }

    /// Adds a tick of a lease in place of the one that is given as `before`.
    pub(crate) fn set_tick(
        &self,
        lease: Arc<dyn RenewedLease>,
        tick: TickKey,
        before: Option<TickKey>,
    ) {
        let mut state = self.state();
        let removed = before.and_then(|key| state.ticks.remove(&key));
        if state.closed {
            drop(state);
            return;
        }
        let replaced = state.ticks.insert(tick, lease);
        self.wake_by(tick.0, state);
        drop((removed, replaced));
    }

    /// Removes a renewal that was not sent yet, and a tick.
    pub(crate) fn remove(&self, renewal: Option<RenewalKey>, tick: Option<TickKey>) {
        let mut state = self.state();
        let renewal = renewal.and_then(|key| state.remove(key));
        let tick = tick.and_then(|key| state.ticks.remove(&key));
        drop(state);
        drop((renewal, tick));
    }

    /// Notes a hint for a lease, and wakes the task that tells the lease of it.
    pub(crate) fn add_hint(&self, lease: Arc<dyn RenewedLease>) {
        let mut state = self.state();
        if state.closed {
            drop(state);
            return;
        }
        state.hinted.push(lease);
        drop(state);
        self.changed.notify_one();
    }

    /// Takes the ticks whose moment has come, and the hints.
    pub(in crate::engine) fn take_events(&self, now: Moment) -> LeaseEvents {
        let mut events = LeaseEvents::default();
        let mut state = self.state();
        while let Some(tick) = state.ticks.first_entry().filter(|tick| tick.key().0 <= now) {
            events.ticked.push(tick.remove_entry());
        }
        events.hinted = std::mem::take(&mut state.hinted);
        events
    }
}

#[cfg(test)]
mod tests;
