//! Renewals wait in a queue until they are sent: until they are due, and then until the batches in
//! progress leave room for them.

mod grouped_map;
mod held_leases;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use super::TimedReply;
use super::renewed_lease::RenewedLease;
use crate::lease::RenewalWindow;
use crate::{Moment, RenewOptions, RenewOutcome};

use grouped_map::GroupedMap;

/// The queue has the renewals of one runtime that were not sent yet.
///
/// Adding a renewal wakes the task that sends them only if it is due before that task wakes by
/// itself. So a lock that is held for a short time costs no switch to the task's thread.
///
/// That task also drives the held leases: it tells them of replies, of hints, and when a renewal has
/// had no reply for too long. So they share one task and one timer.
///
/// While the queue is locked, no lease is called, because a lease may lock the queue while it is
/// locked itself. No lease is dropped either, because dropping the last one of a client drops the
/// engine, which locks the queue to close it.
#[derive(Default)]
pub(crate) struct RenewalQueue {
    /// This is the store's label for errors.
    store: Arc<str>,
    state: Mutex<State>,
    /// This is notified when the task must wake earlier than it planned.
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// These renewals are not due yet. They are ordered by when they are due.
    waiting: GroupedMap<RenewalTimes, RenewalCaller>,
    /// These are sent as soon as there is room. The lease of the first must be renewed first.
    ready: GroupedMap<RenewalTimes, RenewalCaller>,
    /// Each batch that is ready is sent by one of these moments, if they are known. When renewals
    /// were cancelled, there are fewer batches, and none must be sent earlier than this says.
    ready_batches: Option<VecDeque<Moment>>,
    /// These leases have a tick at these moments. A tick that is later than the next renewal of its
    /// lease is added only when that renewal is ready: most renewals are answered before it.
    ticks: GroupedMap<(), Arc<dyn RenewedLease>>,
    /// There was a hint for these leases, of which they were not told yet.
    hinted: Vec<Arc<dyn RenewedLease>>,
    /// This numbers renewals.
    last_number: u64,
    /// The task that sends the renewals wakes at this moment by itself.
    wakes_at: Option<Moment>,
    /// No task sends the renewals any longer.
    closed: bool,
}

/// The key of a renewal says where it is in the queue, and has a number that tells it from others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RenewalKey {
    due: Moment,
    renew_by: Moment,
    number: u64,
}

impl RenewalKey {
    /// Returns when the renewal is due.
    pub(super) fn due(&self) -> Moment {
        self.due
    }

    /// Returns the number of the renewal.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

/// A queued renewal is sent with the next batch that its window allows.
pub(super) struct QueuedRenewal {
    pub(super) times: RenewalTimes,
    pub(super) caller: RenewalCaller,
}

/// Renewals that are requested one after the other often have the same times.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct RenewalTimes {
    pub(super) window: RenewalWindow,
    /// The lease must be renewed by this moment, or its holder has to stop.
    pub(super) renew_by: Moment,
    /// A held lease needs its next tick at this moment, if it needs one.
    pub(super) next_tick: Option<Moment>,
}

/// The caller of a renewal gets its reply.
pub(super) enum RenewalCaller {
    /// The heartbeat drives this lease.
    Lease(Arc<dyn RenewedLease>),
    /// A task waits for the reply. This is boxed because most renewals are of the other kind, which
    /// is smaller.
    Task(Box<TaskRenewal>),
}

/// A task waits for the reply to this renewal.
pub(super) struct TaskRenewal {
    pub(super) options: RenewOptions,
    /// The renewal was sent at this moment.
    pub(super) sent: Arc<OnceLock<Moment>>,
    pub(super) reply_to: oneshot::Sender<TimedReply<RenewOutcome>>,
}

/// A renewal was taken from the queue, with its number.
pub(super) type TakenRenewal = (u64, QueuedRenewal);

impl RenewalTimes {
    /// Returns the moment by which the renewal is sent even if the store is busy: half the time
    /// from when it is due until the lease must be renewed.
    fn send_by(&self) -> Moment {
        let due = self.window.latest;
        due + self.renew_by.saturating_since(due) / 2
    }
}

impl RenewalQueue {
    /// Creates the queue of renewals at the store of that label.
    pub(super) fn new(store: Arc<str>) -> Self {
        Self { store, ..Self::default() }
    }

    /// Returns the store's label for errors.
    pub(super) fn store(&self) -> &str {
        &self.store
    }

    /// Adds the renewal of a task. A closed queue drops it, so that its caller gets an error.
    pub(super) fn add(&self, renewal: QueuedRenewal) -> RenewalKey {
        let mut state = self.state();
        let key = state.next_key(&renewal.times);
        if state.closed {
            return key;
        }
        let QueuedRenewal { times, caller } = renewal;
        state.waiting.insert(key.due, key.number, times, caller);
        self.wake_by(key.due, state);
        key
    }

    /// Removes a renewal that was not sent yet.
    pub(super) fn cancel(&self, key: RenewalKey) {
        // It is dropped after the lock, because it may own what cancels renewals itself.
        let cancelled = self.state().remove(key);
        drop(cancelled);
    }

    /// Returns the moment at which the caller wakes: when the first renewal is due, when a lease has
    /// a tick, or at `next_send`.
    pub(super) fn plan_wake(&self, next_send: Option<Moment>) -> Option<Moment> {
        let mut state = self.state();
        let (due, tick) = (state.waiting.first_at(), state.ticks.first_at());
        state.wakes_at = [due, tick, next_send].into_iter().flatten().min();
        state.wakes_at
    }

    /// Waits until something was added that needs the task before its planned wake, or until the
    /// queue is closed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Makes every renewal ready that may be sent now, if one is due, and returns how many are
    /// ready.
    pub(super) fn collect_due(&self, now: Moment) -> usize {
        let mut state = self.state();
        let State { waiting, ready, ready_batches, ticks, .. } = &mut *state;
        if waiting.first_at().is_some_and(|due| due <= now) {
            let is_open = |times: &RenewalTimes| times.window.earliest <= now;
            for (key, group) in waiting.extract_groups(is_open) {
                let RenewalTimes { renew_by, next_tick, .. } = group.shared;
                for (number, caller) in group.entries(key) {
                    if let (RenewalCaller::Lease(lease), Some(at)) = (caller, next_tick) {
                        ticks.insert(at, number, (), lease.clone());
                    }
                }
                ready.insert_group((renew_by, key.1), group);
                *ready_batches = None;
            }
        }
        ready.len()
    }

    /// Returns for each batch that is ready the moment by which its first renewal is sent.
    ///
    /// They are kept, because to find them takes a step for each group that is ready.
    pub(super) fn ready_batches(&self, max_batch: usize) -> Vec<Moment> {
        let mut state = self.state();
        let State { ready, ready_batches, .. } = &mut *state;
        let find = || ready.shared_of_every(max_batch).map(RenewalTimes::send_by).collect();
        ready_batches.get_or_insert_with(find).iter().copied().collect()
    }

    /// Takes the ready renewals whose leases must be renewed first, at most `max_batch`, to send
    /// them now.
    pub(super) fn take_batch(&self, max_batch: usize, now: Moment) -> Vec<TakenRenewal> {
        let mut state = self.state();
        // Each batch gets a buffer of the size that it needs.
        let size = state.ready.len().min(max_batch);
        let mut batch = Vec::with_capacity(size);
        if let Some(batches) = &mut state.ready_batches {
            batches.pop_front();
        }
        while batch.len() < size {
            let Some((key, group)) = state.ready.take_first(size - batch.len()) else { break };
            let times = group.shared;
            for (number, caller) in group.into_entries(key) {
                // From here on the renewal of a task cannot be cancelled.
                if let RenewalCaller::Task(task) = &caller {
                    let _ = task.sent.set(now);
                }
                batch.push((number, QueuedRenewal { times, caller }));
            }
        }
        batch
    }

    /// Drops all renewals, and those that are added later.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let (waiting, ready) =
            (std::mem::take(&mut state.waiting), std::mem::take(&mut state.ready));
        let (ticks, hinted) = (std::mem::take(&mut state.ticks), std::mem::take(&mut state.hinted));
        drop(state);
        // Dropping them may cancel others, which takes the lock.
        drop((waiting, ready, ticks, hinted));
        self.changed.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Wakes the task that sends the renewals unless it wakes by that moment by itself.
    fn wake_by(&self, at: Moment, state: MutexGuard<'_, State>) {
        let wakes_in_time = state.wakes_at.is_some_and(|planned| planned <= at);
        drop(state);
        if !wakes_in_time {
            self.changed.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// Returns the key of a new renewal.
    fn next_key(&mut self, times: &RenewalTimes) -> RenewalKey {
        self.last_number += 1;
        let (due, renew_by) = (times.window.latest, times.renew_by);
        RenewalKey { due, renew_by, number: self.last_number }
    }

    fn remove(&mut self, key: RenewalKey) -> Option<RenewalCaller> {
        let waiting = self.waiting.remove(key.due, key.number);
        waiting.or_else(|| self.ready.remove(key.renew_by, key.number))
    }
}

impl fmt::Debug for RenewalQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("RenewalQueue")
            .field("waiting", &state.waiting.len())
            .field("ready", &state.ready.len())
            .field("wakes_at", &state.wakes_at)
            .field("closed", &state.closed)
            .finish()
    }
}

#[cfg(test)]
mod tests;
