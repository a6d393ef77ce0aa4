//! The tasks of a listener share this state, which says for which holders waiters wait.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::user_lock::UserLockNames;
use crate::LockName;

/// This is the state of a listener.
pub(super) struct Inner {
    pub(super) names: UserLockNames,
    pub(super) state: Mutex<ListenerState>,
    /// Wakes a task that listens for no holder.
    pub(super) wake: Notify,
    pub(super) notified: watch::Sender<()>,
}

#[derive(Default)]
pub(super) struct ListenerState {
    pub(super) watches: usize,
    /// These names were refused; each has its holder and the moment when its lease ends unless it
    /// is renewed. A waiter that still waits then asks again.
    pub(super) awaited: HashMap<LockName, (Uuid, Instant)>,
    /// An attempt found these names disabled at these moments. No user-level lock announces that a
    /// name is enabled.
    pub(super) disabled: HashMap<LockName, Instant>,
    /// A task listens for these holders; the value says whether it waits for their user-level lock.
    pub(super) listened: HashMap<Uuid, bool>,
    pub(super) tasks: Vec<AbortHandle>,
}

impl ListenerState {
    /// Returns a holder for which no task listens yet.
    fn next_unlistened(&self) -> Option<Uuid> {
        let mut holders = self.awaited.values().map(|(holder, _)| *holder);
        holders.find(|holder| !self.listened.contains_key(holder))
    }
}

impl Inner {
    pub(super) fn state(&self) -> MutexGuard<'_, ListenerState> {
        self.state.lock()
    }

    /// Returns whether this store still waits for a name of this holder.
    pub(super) fn is_awaited(&self, holder: Uuid) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        state.awaited.retain(|_, (_, until)| *until > now);
        state.awaited.values().any(|(of, _)| *of == holder)
    }

    /// Returns the next holder to listen for.
    pub(super) fn next_holder(&self) -> Option<ListenedHolder<'_>> {
        let now = Instant::now();
        let mut state = self.state();
        state.awaited.retain(|_, (_, until)| *until > now);
        let holder = state.next_unlistened()?;
        state.listened.insert(holder, false);
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
    /// Notes whether the task waits for this holder's user-level lock.
    pub(super) fn set_waiting(&self, waits: bool) {
        if let Some(listened) = self.inner.state().listened.get_mut(&self.holder) {
            *listened = waits;
        }
    }
}

impl Drop for ListenedHolder<'_> {
    fn drop(&mut self) {
        self.inner.state().listened.remove(&self.holder);
    }
}
