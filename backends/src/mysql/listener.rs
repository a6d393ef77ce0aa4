//! On the waiter's side of release notifications, a few connections per store wait for the
//! user-level locks of the holders that keep the store from a lock.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::listen_task;
use super::listener_state::{Inner, ListenerState};
use super::user_lock::UserLockNames;
use crate::LockName;

/// A store listens for at most this many holders at once, and polls for the releases of others.
const MAX_CONNECTIONS: usize = 3;

/// A name counts as disabled for this long after an attempt found it so.
const DISABLED: Duration = Duration::from_secs(120);

/// Waits for user-level locks, in tasks that run while there is a watch and a holder to listen for.
pub(super) struct Listener(Arc<Inner>);

impl Listener {
    pub(super) fn new(names: UserLockNames) -> Self {
        let (state, wake, notified) = (Mutex::default(), Notify::new(), watch::Sender::new(()));
        Self(Arc::new(Inner { names, state, wake, notified }))
    }

    /// Listens for as long as the returned value lives, which belongs to a watch.
    pub(super) fn subscribe(&self) -> ListenerSubscription {
        self.0.state().watches += 1;
        ListenerSubscription { inner: Arc::clone(&self.0), notified: self.0.notified.subscribe() }
    }

    /// Notes that the holder has the name, and listens for its release.
    pub(super) fn await_holder(&self, name: &LockName, holder: Uuid, left: Duration) {
        let mut state = self.0.state();
        if state.watches == 0 {
            return;
        }
        state.disabled.remove(name);
        state.awaited.insert(name.clone(), (holder, Instant::now() + left));
        if state.listened.contains_key(&holder) {
            return;
        }
        // A task may have ended with its runtime.
        state.tasks.retain(|task| !task.is_finished());
        if state.tasks.len() > state.listened.len() {
            self.0.wake.notify_one();
        } else if state.tasks.len() < MAX_CONNECTIONS {
            let task = tokio::spawn(listen_task::run(Arc::clone(&self.0)));
            state.tasks.push(task.abort_handle());
        }
    }

    /// Notes that the name was granted, or that this store's own watches are told of its release.
    pub(super) fn forget(&self, name: &LockName) {
        let mut state = self.0.state();
        state.awaited.remove(name);
        state.disabled.remove(name);
    }

    /// Notes that the name is disabled.
    pub(super) fn disabled(&self, name: &LockName) {
        let mut state = self.0.state();
        state.awaited.remove(name);
        if state.watches > 0 {
            state.disabled.insert(name.clone(), Instant::now());
        }
    }

    /// Makes the watches read what was signalled.
    pub(super) fn notify_watches(&self) {
        self.0.notified.send_replace(());
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.state().tasks.drain(..).for_each(|task| task.abort());
    }
}

/// Keeps the listener running for one watch.
pub(super) struct ListenerSubscription {
    inner: Arc<Inner>,
    notified: watch::Receiver<()>,
}

impl ListenerSubscription {
    /// Returns once a holder notified its waiters since the last return.
    pub(super) async fn notified(&mut self) {
        // The sender lives as long as this does.
        _ = self.notified.changed().await;
    }

    /// Returns whether a change is waited for that no user-level lock will announce.
    pub(super) fn must_poll(&self) -> bool {
        let now = Instant::now();
        let mut state = self.inner.state();
        state.awaited.retain(|_, (_, until)| *until > now);
        state.disabled.retain(|_, asked| now.duration_since(*asked) < DISABLED);
        let ListenerState { awaited, disabled, listened, .. } = &*state;
        let told = |holder| listened.get(holder).copied().unwrap_or(false);
        !disabled.is_empty() || awaited.values().any(|(of, _)| !told(of))
    }
}

impl Drop for ListenerSubscription {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        state.watches -= 1;
        if state.watches == 0 {
            state.awaited.clear();
            state.disabled.clear();
        }
    }
}
