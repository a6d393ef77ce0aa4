//! Renewals wait in a queue until they are sent: until they are due, and then until the batches in
//! progress leave room for them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use super::TimedReply;
use crate::lease::RenewalWindow;
use crate::{Moment, RenewOptions, RenewOutcome};

/// The queue has the renewals of one runtime that were not sent yet.
///
/// Adding a renewal wakes the task that sends them only if it is due before that task wakes by
/// itself. So a lock that is held for a short time costs no switch to the task's thread.
///
/// That task also wakes the tasks of leases whose renewal has had no reply for too long. So all
/// leases share one timer.
#[derive(Default)]
pub(super) struct RenewalQueue {
    /// This is the store's label for errors.
    store: Arc<str>,
    state: Mutex<State>,
    /// This is notified when the task must wake earlier than it planned.
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// These renewals are not due yet. The first is due first. They are boxed, because the nodes of
    /// a map have room for twice as many entries as they mostly hold.
    waiting: BTreeMap<(Moment, u64), Box<QueuedRenewal>>,
    /// These are sent as soon as there is room. The lease of the first must be renewed first.
    ready: BTreeMap<(Moment, u64), Box<QueuedRenewal>>,
    /// These tasks are woken at these moments.
    ticks: BTreeMap<(Moment, u64), Waker>,
    /// This numbers renewals and ticks.
    numbered: u64,
    /// The task that sends the renewals wakes at this moment by itself.
    wakes_at: Option<Moment>,
    /// No task sends the renewals any longer.
    closed: bool,
}

/// The key of a renewal says where it is in the queue, and has a number that tells it from others.
#[derive(Clone, Copy, Debug)]
pub(super) struct RenewalKey {
    due: Moment,
    renew_by: Moment,
    number: u64,
}

impl RenewalKey {
    /// Returns when the renewal is due.
    pub(super) fn due(&self) -> Moment {
        self.due
    }
}

/// This is called when the renewal is about to be sent.
pub(crate) type OnSent = Box<dyn FnOnce() + Send>;

/// A queued renewal is sent with the next batch that its window allows.
pub(super) struct QueuedRenewal {
    pub(super) options: RenewOptions,
    pub(super) window: RenewalWindow,
    /// The lease must be renewed by this moment, or its holder has to stop.
    pub(super) renew_by: Moment,
    /// The renewal was sent at this moment.
    pub(super) sent: Arc<OnceLock<Moment>>,
    pub(super) reply_to: oneshot::Sender<TimedReply<RenewOutcome>>,
    pub(super) on_sent: Option<OnSent>,
}

impl QueuedRenewal {
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

    /// Adds a renewal. A closed queue drops it, so that its caller gets an error.
    pub(super) fn add(&self, renewal: QueuedRenewal) -> RenewalKey {
        let mut state = self.state();
        let number = state.next_number();
        let key = RenewalKey { due: renewal.window.latest, renew_by: renewal.renew_by, number };
        if state.closed {
            return key;
        }
        state.waiting.insert((key.due, number), Box::new(renewal));
        self.wake_by(key.due, state);
        key
    }

    /// Removes a renewal that was not sent yet.
    pub(super) fn cancel(&self, key: RenewalKey) {
        // It is dropped after the lock, because it may own what cancels renewals itself.
        let cancelled = self.state().remove(key);
        drop(cancelled);
    }

    /// Calls `act` when the renewal is about to be sent, or now if it was sent already.
    pub(super) fn on_sent(&self, key: RenewalKey, act: OnSent) {
        let mut state = self.state();
        let Some(renewal) = state.queued(key) else {
            drop(state);
            return act();
        };
        renewal.on_sent = Some(act);
    }

    /// Wakes a task at that moment, under the number of its earlier call for the same moment, if
    /// there was one. Returns the number. A closed queue wakes nobody.
    pub(super) fn set_tick(&self, at: Moment, number: Option<u64>, waker: &Waker) -> u64 {
        let mut state = self.state();
        let number = number.unwrap_or_else(|| state.next_number());
        if !state.closed {
            let before = state.ticks.insert((at, number), waker.clone());
            self.wake_by(at, state);
            // Dropping a waker may run any code.
            drop(before);
        }
        number
    }

    /// Does not wake the task that has this number for that moment.
    pub(super) fn remove_tick(&self, at: Moment, number: u64) {
        let removed = self.state().ticks.remove(&(at, number));
        drop(removed);
    }

    /// Wakes the tasks whose moment has come, and returns whether there are any.
    pub(super) fn wake_ticks(&self, now: Moment) -> bool {
        let mut woken = Vec::new();
        let mut state = self.state();
        while let Some(tick) = state.ticks.first_entry().filter(|tick| tick.key().0 <= now) {
            woken.push(tick.remove());
        }
        drop(state);
        let any = !woken.is_empty();
        woken.into_iter().for_each(Waker::wake);
        any
    }

    /// Returns the moment at which the caller wakes: when the first renewal is due, when a task is
    /// to be woken, or at `next_send`.
    pub(super) fn plan_wake(&self, next_send: Option<Moment>) -> Option<Moment> {
        let mut state = self.state();
        let due = state.waiting.keys().next().map(|(due, _)| *due);
        let tick = state.ticks.keys().next().map(|(at, _)| *at);
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
        let State { waiting, ready, .. } = &mut *state;
        if waiting.keys().next().is_some_and(|(due, _)| *due <= now) {
            let open = waiting.extract_if(.., |_, renewal| renewal.window.earliest <= now);
            ready.extend(open.map(|((_, number), renewal)| ((renewal.renew_by, number), renewal)));
        }
        ready.len()
    }

    /// Returns for each batch that is ready the moment by which its first renewal is sent.
    pub(super) fn ready_batches(&self, max_batch: usize) -> Vec<Moment> {
        let state = self.state();
        state.ready.values().step_by(max_batch).map(|renewal| renewal.send_by()).collect()
    }

    /// Takes the ready renewals whose leases must be renewed first, at most `max_batch`, to send
    /// them now.
    pub(super) fn take_batch(&self, max_batch: usize, now: Moment) -> Vec<QueuedRenewal> {
        let mut on_sent = Vec::new();
        let mut state = self.state();
        // Each batch gets a buffer of the size that it needs.
        let size = state.ready.len().min(max_batch);
        let mut batch = Vec::with_capacity(size);
        while batch.len() < size {
            let Some((_, mut renewal)) = state.ready.pop_first() else { break };
            // From here on the renewal cannot be cancelled.
            let _ = renewal.sent.set(now);
            on_sent.extend(renewal.on_sent.take());
            batch.push(*renewal);
        }
        drop(state);
        on_sent.into_iter().for_each(|act: OnSent| act());
        batch
    }

    /// Drops all renewals, and those that are added later.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let (waiting, ready) =
            (std::mem::take(&mut state.waiting), std::mem::take(&mut state.ready));
        let ticks = std::mem::take(&mut state.ticks);
        drop(state);
        // Dropping them may cancel others, which takes the lock.
        drop((waiting, ready, ticks));
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
    fn next_number(&mut self) -> u64 {
        self.numbered += 1;
        self.numbered
    }

    fn remove(&mut self, key: RenewalKey) -> Option<Box<QueuedRenewal>> {
        let waiting = self.waiting.remove(&(key.due, key.number));
        waiting.or_else(|| self.ready.remove(&(key.renew_by, key.number)))
    }

    fn queued(&mut self, key: RenewalKey) -> Option<&mut Box<QueuedRenewal>> {
        let ready = (key.renew_by, key.number);
        if self.ready.contains_key(&ready) {
            return self.ready.get_mut(&ready);
        }
        self.waiting.get_mut(&(key.due, key.number))
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
