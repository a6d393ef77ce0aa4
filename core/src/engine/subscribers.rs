//! The subscribers of hints are woken by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::renewed_lease::RenewedLease;
use crate::{Hint, LeaseId, LockName};

/// The subscribers of a client, and what they may have missed.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    /// The map is ordered so that a replayed history wakes subscribers in the same order.
    by_name: BTreeMap<LockName, Vec<Subscriber>>,
    /// These are the held leases by name, each under the number of its subscription. They need no
    /// wakeup: the heartbeat's task tells them of hints. They are not told that the watch was opened
    /// for the first time or cannot be opened, since they are renewed when that is due.
    leases: BTreeMap<(LockName, u64), Arc<dyn RenewedLease>>,
    /// This counts the subscriptions of leases.
    last_number: u64,
    /// The leases up to this number were subscribed when the watch ended, so it has served them.
    last_served: u64,
    /// The watch is open: changes from now on cause hints.
    open: bool,
    /// This counts the hints, and the times that the watch was opened.
    changes: u64,
}

#[derive(Debug)]
struct Subscriber {
    wakeup: Arc<Wakeup>,
    /// The watch was open during some part of the subscription.
    watched: bool,
}

/// A wakeup wakes one subscriber. Several changes may wake it once.
#[derive(Debug, Default)]
pub(super) struct Wakeup(Mutex<WakeupState>);

#[derive(Debug, Default)]
struct WakeupState {
    /// There was a change that the subscriber was not told of yet.
    woken: bool,
    /// A hint is the reason, and not only that the watch was opened.
    hinted: bool,
    /// The subscriber waits for the entry of this lease to hold the lock.
    entry: Option<LeaseId>,
    /// This wakes the subscriber's task.
    waker: Option<Waker>,
}

/// A change wakes a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The name may have changed since the subscription began.
    Hint,
    /// The watch was opened for the first time since the subscription began, and what changed before
    /// that caused no hint; or there will be no hints, because no watch can be opened.
    WatchChanged,
}

/// A watch position is a moment in the sequence of hints of an open watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WatchPosition(u64);

impl Wakeup {
    fn wake(&self, change: Change) {
        let mut state = self.0.lock();
        state.woken = true;
        state.hinted |= change == Change::Hint;
        let waker = state.waker.take();
        drop(state);
        // A waker may run any code.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for a change, in the task that polls this. Only the latest of several tasks is woken.
    pub(super) fn poll_woken(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if std::mem::take(&mut state.woken) {
            return Poll::Ready(());
        }
        let waker = context.waker();
        if state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return Poll::Pending;
        }
        let before = state.waker.replace(waker.clone());
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// Sets the lease of the entry that the subscriber waits for. It is told of a hint about
    /// entries only if that names the lease; a subscriber without an entry is told of each.
    pub(super) fn set_entry(&self, lease: Option<LeaseId>) {
        self.0.lock().entry = lease;
    }

    /// Returns whether a hint about the entries of these leases concerns the subscriber.
    fn is_concerned(&self, leases: &[LeaseId]) -> bool {
        self.0.lock().entry.is_none_or(|lease| leases.contains(&lease))
    }

    /// Returns the change that woke the subscriber.
    pub(super) fn take_change(&self) -> Change {
        let hinted = std::mem::take(&mut self.0.lock().hinted);
        if hinted { Change::Hint } else { Change::WatchChanged }
    }
}

impl Subscribers {
    /// Returns the present position in the hints, or `None` if the watch is not open.
    pub(super) fn position(&self) -> Option<WatchPosition> {
        self.open.then_some(WatchPosition(self.changes))
    }

    /// Adds a subscriber, and wakes it at once if it may have missed a hint since that position.
    pub(super) fn add(&mut self, name: LockName, since: Option<WatchPosition>) -> Arc<Wakeup> {
        let wakeup = Arc::new(Wakeup::default());
        if since != self.position() {
            wakeup.wake(Change::Hint);
        }
        let subscriber = Subscriber { wakeup: wakeup.clone(), watched: self.open };
        // Most names have one subscriber.
        self.by_name.entry(name).or_insert_with(|| Vec::with_capacity(1)).push(subscriber);
        wakeup
    }

    pub(super) fn remove(&mut self, name: &LockName, wakeup: &Arc<Wakeup>) {
        if let Some(subscribers) = self.by_name.get_mut(name) {
            subscribers.retain(|other| !Arc::ptr_eq(&other.wakeup, wakeup));
            if subscribers.is_empty() {
                self.by_name.remove(name);
            }
        }
    }

    /// Adds a held lease, and returns the number of its subscription.
    pub(super) fn add_lease(&mut self, name: LockName, lease: Arc<dyn RenewedLease>) -> u64 {
        self.last_number += 1;
        self.leases.insert((name, self.last_number), lease);
        self.last_number
    }

    /// Removes the held lease that subscribed under that number, and returns it.
    pub(super) fn remove_lease(
        &mut self,
        name: LockName,
        number: u64,
    ) -> Option<Arc<dyn RenewedLease>> {
        self.leases.remove(&(name, number))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty() && self.leases.is_empty()
    }

    pub(super) fn dispatch(&mut self, hint: &Hint) {
        self.changes += 1;
        let wake = |subscriber: &Subscriber| subscriber.wakeup.wake(Change::Hint);
        let tell = |lease: &Arc<dyn RenewedLease>| lease.clone().hinted();
        match hint {
            Hint::Name(name) => {
                self.by_name.get(name).into_iter().flatten().for_each(wake);
                let of_name = (name.clone(), 0)..=(name.clone(), u64::MAX);
                self.leases.range(of_name).for_each(|(_, lease)| tell(lease));
            }
            // A grant to another entry does not concern a lease that is held.
            Hint::Entries(name, leases) => {
                let subscribers = self.by_name.get(name).into_iter().flatten();
                subscribers.filter(|it| it.wakeup.is_concerned(leases)).for_each(wake);
            }
            Hint::Anything => {
                self.by_name.values().flatten().for_each(wake);
                self.leases.values().for_each(tell);
            }
        }
    }

    /// Wakes all subscribers, because changes before the watch was open caused no hint.
    ///
    /// For those that an earlier watch served, this is the end of a gap in which they may have
    /// missed hints. The others have not relied on hints so far.
    pub(super) fn watch_opened(&mut self) {
        self.open = true;
        self.changes += 1;
        for subscriber in self.by_name.values_mut().flatten() {
            let after_a_gap = std::mem::replace(&mut subscriber.watched, true);
            let change = if after_a_gap { Change::Hint } else { Change::WatchChanged };
            subscriber.wakeup.wake(change);
        }
        for ((_, number), lease) in &self.leases {
            if *number <= self.last_served {
                lease.clone().hinted();
            }
        }
    }

    pub(super) fn watch_ended(&mut self) {
        if std::mem::take(&mut self.open) {
            self.last_served = self.last_number;
        }
    }

    /// Wakes the subscribers that an earlier watch served, because there is none now: they relied on
    /// hints, and poll from their next call on.
    pub(super) fn watch_failed(&mut self) {
        for subscriber in self.by_name.values().flatten().filter(|subscriber| subscriber.watched) {
            subscriber.wakeup.wake(Change::WatchChanged);
        }
    }
}

#[cfg(test)]
mod tests;
