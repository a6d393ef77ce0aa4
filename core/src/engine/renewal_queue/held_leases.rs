//! For each held lease, the queue has its next renewal and its next tick, and keeps its hints.

use std::sync::Arc;

use super::{RenewalCaller, RenewalKey, RenewalQueue, RenewalTimes};
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
        let times = RenewalTimes { window, renew_by, next_tick };
        let early_tick = next_tick.filter(|at| *at < window.latest).map(|at| (at, lease.clone()));
        let wakes_at = early_tick.as_ref().map_or(window.latest, |(at, _)| *at);
        let mut state = self.state();
        let renewal_before = before.0.and_then(|key| state.remove(key));
        let tick_before = before.1.and_then(|(at, number)| state.ticks.remove(at, number));
        let key = state.next_key(&times);
        if state.closed {
            drop(state);
            return key;
        }
        state.waiting.insert(key.due, key.number, times, RenewalCaller::Lease(lease));
        if let Some((at, lease)) = early_tick {
            state.ticks.insert(at, key.number, (), lease);
        }
        self.wake_by(wakes_at, state);
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
        let removed = before.and_then(|(at, number)| state.ticks.remove(at, number));
        if state.closed {
            drop(state);
            return;
        }
        let replaced = state.ticks.insert(tick.0, tick.1, (), lease);
        self.wake_by(tick.0, state);
        drop((removed, replaced));
    }

    /// Removes a renewal that was not sent yet, and a tick.
    pub(crate) fn remove(&self, renewal: Option<RenewalKey>, tick: Option<TickKey>) {
        let mut state = self.state();
        let renewal = renewal.and_then(|key| state.remove(key));
        let tick = tick.and_then(|(at, number)| state.ticks.remove(at, number));
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
        while state.ticks.first_at().is_some_and(|at| at <= now) {
            let Some((key, group)) = state.ticks.take_first(usize::MAX) else { break };
            let tick = |(number, lease)| ((key.0, number), lease);
            events.ticked.extend(group.into_entries(key).map(tick));
        }
        events.hinted = std::mem::take(&mut state.hinted);
        events
    }
}

#[cfg(test)]
mod tests;
