//! The tasks of a listener share this state, which says for which holders waiters wait.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::user_lock::UserLockNames;
use crate::{Held, LockName, MAX_TTL, QueueRecord};

/// A name counts as disabled for this long after an attempt found it so.
const DISABLED: Duration = Duration::from_secs(120);

/// A command is assumed to have reached the server this long after it was sent.
const ARRIVAL_TIME: Duration = Duration::from_millis(500);

/// A waiter that asks again when the lease should have ended has its answer this long after that.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// While a task waits for a user-level lock, it checks at this interval whether it still has to.
pub(super) const AWAITED_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// This is the state of a listener.
pub(super) struct Inner {
    pub(super) names: UserLockNames,
    pub(super) state: Mutex<ListenerState>,
    /// Wakes a task that listens for no holder.
    pub(super) wake: Notify,
    /// Notifies the watches of the name that was released; `None` makes them read what was
    /// signalled.
    pub(super) notified: broadcast::Sender<Option<LockName>>,
}

#[derive(Default)]
pub(super) struct ListenerState {
    /// Each watch runs in its runtime.
    pub(super) watches: Vec<Handle>,
    /// These names were refused.
    pub(super) awaited: HashMap<LockName, Awaited>,
    /// An attempt found these names disabled at these moments. No user-level lock announces that a
    /// name is enabled.
    pub(super) disabled: HashMap<LockName, Instant>,
    /// An attempt found these names disabled at these moments, though another may have been refused
    /// since. Several clients share a store: one that asked before the name was enabled knows nothing
    /// of the grant that refused another.
    pub(super) found_disabled: HashMap<LockName, Instant>,
    /// A task listens for these holders; the value says when it sent the command that waits for
    /// their user-level lock, or `None` while it does not wait.
    pub(super) listened: HashMap<Uuid, Option<Instant>>,
    pub(super) tasks: Vec<AbortHandle>,
}

/// This is the latest grant that refused this store a name.
pub(super) struct Awaited {
    pub(super) holder: Uuid,
    /// The lease has ended at this moment unless it was renewed, and a waiter that still waits has
    /// asked again.
    pub(super) until: Instant,
    token: u64,
    /// A notification was taken for the release of this lease.
    taken_for_released: bool,
    /// A notification was wrongly taken for the release of this lease.
    was_wrong: bool,
    /// An entry waits in a queue of this many. A watch reads which of them hold the lock.
    entries: Option<usize>,
}

impl Awaited {
    /// Notes a refusal, after the refusal of the same name that was noted last.
    pub(super) fn new(held: &Held, last: Option<&Self>) -> Self {
        let token = held.token.get();
        let was_wrong = last
            .is_some_and(|last| last.token == token && (last.taken_for_released || last.was_wrong));
        let (holder, until) = (held.holder.instance, Instant::now() + held.left + ANSWER_TIME);
        Self { holder, until, token, taken_for_released: false, was_wrong, entries: None }
    }

    pub(super) fn is_in_queue(&self) -> bool {
        self.entries.is_some()
    }

    /// Returns whether it may matter that another entry leaves than the one of this holder.
    fn has_others(&self) -> bool {
        self.entries.is_some_and(|entries| entries > 2)
    }

    /// Notes that an entry waits in that queue, whose first entry this is.
    pub(super) fn in_queue(held: &Held, queue: &QueueRecord) -> Self {
        Self { entries: Some(queue.entries.len()), ..Self::new(held, None) }
    }
}

impl ListenerState {
    /// Returns the name of that holder that was released, as far as a notification tells. The
    /// holder's other names cause notifications too, so one that was wrong is not trusted again.
    fn take_for_released(&mut self, holder: Uuid) -> Option<LockName> {
        let mut of_holder = self.awaited.iter_mut().filter(|(_, one)| one.holder == holder);
        match (of_holder.next(), of_holder.next()) {
            (Some((name, awaited)), None) if !awaited.was_wrong && !awaited.is_in_queue() => {
                awaited.taken_for_released = true;
                Some(name.clone())
            }
            _ => None,
        }
    }

    /// Returns whether the grant with that token has refused the name to all clients of this store
    /// that wait for it, as far as they have asked since a signal.
    pub(super) fn is_refused_by(&self, name: &LockName, token: i64) -> bool {
        !self.found_disabled.contains_key(name)
            && self.awaited.get(name).is_some_and(|awaited| awaited.token.cast_signed() == token)
    }

    /// Returns whether a change is waited for that no user-level lock will announce.
    pub(super) fn must_poll(&mut self, now: Instant) -> bool {
        self.forget_outdated(now);
        let is_recent = |asked: &Instant| now.duration_since(*asked) < DISABLED;
        self.disabled.values().any(is_recent)
            || self.awaited.values().any(|awaited| self.waits_since(awaited.holder).is_none())
    }

    /// Returns when a watch must read again what was signalled, if its last read began at that
    /// moment; `None` means that this store waits only for releases, and that user-level locks will
    /// announce all of them.
    ///
    /// A release between two commands that wait for the lock is not announced. It has been
    /// committed when the second command reaches the server, so a read after that finds it.
    pub(super) fn read_due(&mut self, last_read: Instant, now: Instant) -> Option<Instant> {
        self.forget_outdated(now);
        let knows_disabled = !self.disabled.is_empty() || !self.found_disabled.is_empty();
        let has_others = self.awaited.values().any(Awaited::has_others);
        if self.awaited.is_empty() || knows_disabled || has_others {
            return Some(last_read);
        }
        let mut due = last_read;
        for awaited in self.awaited.values() {
            let Some(since) = self.waits_since(awaited.holder) else { return Some(last_read) };
            due = due.max(since + ARRIVAL_TIME);
        }
        (due > last_read).then_some(due)
    }

    /// Returns since when a task waits for the user-level lock of that holder.
    fn waits_since(&self, holder: Uuid) -> Option<Instant> {
        self.listened.get(&holder).copied().flatten()
    }

    fn forget_outdated(&mut self, now: Instant) {
        self.awaited.retain(|_, awaited| awaited.until > now);
        // A waiter that still waits has asked again by then.
        self.disabled.retain(|_, asked| now.duration_since(*asked) < MAX_TTL);
        self.found_disabled.retain(|_, asked| now.duration_since(*asked) < DISABLED);
    }

    /// Forgets all names that are waited for.
    pub(super) fn clear(&mut self) {
        self.awaited.clear();
        self.disabled.clear();
        self.found_disabled.clear();
    }

    /// Returns a holder for which no task listens yet.
    fn next_unlistened(&self) -> Option<Uuid> {
        let mut holders = self.awaited.values().map(|awaited| awaited.holder);
        holders.find(|holder| !self.listened.contains_key(holder))
    }
}

impl Inner {
    pub(super) fn state(&self) -> MutexGuard<'_, ListenerState> {
        self.state.lock()
    }

    /// Notifies the watches.
    pub(super) fn notify(&self, released: Option<LockName>) {
        // Without a watch, nobody needs it.
        _ = self.notified.send(released);
    }

    /// Notifies the watches that this holder released a lease.
    pub(super) fn released_by(&self, holder: Uuid) {
        let released = self.state().take_for_released(holder);
        self.notify(released);
    }

    /// Returns whether this store still waits for a name of this holder.
    pub(super) fn is_awaited(&self, holder: Uuid) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        state.awaited.retain(|_, awaited| awaited.until > now);
        state.awaited.values().any(|awaited| awaited.holder == holder)
    }

    /// Returns within a few seconds after this store no longer waits for a name of this holder.
    pub(super) async fn until_not_awaited(&self, holder: Uuid) {
        loop {
            sleep(AWAITED_CHECK_INTERVAL).await;
            if !self.is_awaited(holder) {
                return;
            }
        }
    }

    /// Returns the next holder to listen for.
    pub(super) fn next_holder(&self) -> Option<ListenedHolder<'_>> {
        let now = Instant::now();
        let mut state = self.state();
        state.awaited.retain(|_, awaited| awaited.until > now);
        let holder = state.next_unlistened()?;
        state.listened.insert(holder, None);
        if state.next_unlistened().is_some() {
            self.wake.notify_one();
        }
        Some(ListenedHolder { inner: self, holder })
    }
}

/// A task listens for this holder until this value is dropped.
pub(super) struct ListenedHolder<'a> {
    pub(super) inner: &'a Inner,
    pub(super) holder: Uuid,
}

impl ListenedHolder<'_> {
    /// Notes whether the task now sends a command that waits for this holder's user-level lock, and
    /// returns whether it did not wait before.
    pub(super) fn set_waiting(&self, waits: bool) -> bool {
        let mut state = self.inner.state();
        let listened = state.listened.get_mut(&self.holder);
        let since = waits.then(Instant::now);
        let before = listened.map(|listened| mem::replace(listened, since));
        waits && before == Some(None)
    }
}

impl Drop for ListenedHolder<'_> {
    fn drop(&mut self) {
        self.inner.state().listened.remove(&self.holder);
    }
}

#[cfg(test)]
mod tests;
