//! On the waiter's side of release notifications, a few connections per store wait for the
//! user-level locks of the holders that keep the store from a lock.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use super::listen_task;
use super::listener_state::{Awaited, Inner};
use super::user_lock::UserLockNames;
use crate::{Held, LockName, QueueRecord};

/// A store listens for at most this many holders at once, and polls for the releases of others.
const MAX_CONNECTIONS: usize = 3;

/// A watch may lag by this many notifications; one that lags further reads what was signalled.
const BUFFER: usize = 64;

/// Waits for user-level locks, in tasks that run while there is a watch and a holder to listen for.
pub(super) struct Listener(Arc<Inner>);

impl Listener {
    pub(super) fn new(names: UserLockNames) -> Self {
        let (state, wake) = (Mutex::default(), Notify::new());
        let notified = broadcast::Sender::new(BUFFER);
        Self(Arc::new(Inner { names, state, wake, notified }))
    }

    /// Listens for as long as the returned value lives, which belongs to a watch. This must be called
    /// within the runtime of the watch.
    pub(super) fn subscribe(&self) -> ListenerSubscription {
        let (inner, runtime) = (Arc::clone(&self.0), Handle::current());
        inner.state().watches.push(runtime.clone());
        let notified = inner.notified.subscribe();
        ListenerSubscription { inner, runtime, notified }
    }

    /// Notes that another has the name, and listens for its release.
    pub(super) fn await_holder(&self, name: &LockName, held: &Held) {
        self.wait_for(name, held, |last| Awaited::new(held, last));
    }

    /// Notes that an entry of this store waits in that queue, and listens for its first entry, which is
    /// held by another store.
    pub(super) fn await_in_queue(&self, name: &LockName, queue: &QueueRecord) {
        let Some(first) = queue.entries.first() else { return };
        let held = Held::new(first.holder.clone(), first.token, first.left);
        self.wait_for(name, &held, |_| Awaited::in_queue(&held, queue));
    }

    /// Listens for the first entry of a queue that has changed, if an entry of this store waits there.
    pub(super) fn queue_changed(&self, name: &LockName, queue: &QueueRecord) {
        let waits = self.0.state().awaited.get(name).is_some_and(Awaited::is_in_queue);
        if waits {
            self.await_in_queue(name, queue);
        }
    }

    fn wait_for(
        &self,
        name: &LockName,
        held: &Held,
        awaited: impl FnOnce(Option<&Awaited>) -> Awaited,
    ) {
        let holder = held.holder.instance;
        let mut state = self.0.state();
        let Some(runtime) = state.watches.first().cloned() else { return };
        state.disabled.remove(name);
        let awaited = awaited(state.awaited.get(name));
        state.awaited.insert(name.clone(), awaited);
        if state.listened.contains_key(&holder) {
            return;
        }
        // A task may have ended with its runtime.
        state.tasks.retain(|task| !task.is_finished());
        if state.tasks.len() > state.listened.len() {
            self.0.wake.notify_one();
        } else if state.tasks.len() < MAX_CONNECTIONS {
            // The caller's runtime may be blocked, and the watch would wait for its notification.
            let task = runtime.spawn(listen_task::run(Arc::clone(&self.0)));
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
        if !state.watches.is_empty() {
            let now = Instant::now();
            state.disabled.insert(name.clone(), now);
            state.found_disabled.insert(name.clone(), now);
        }
    }

    /// Notifies the watches that this store has released the name.
    pub(super) fn released_here(&self, name: &LockName) {
        self.0.notify(Some(name.clone()));
    }

    /// Makes the watches read what was signalled, because an entry of this store has left a queue.
    pub(super) fn left_here(&self) {
        self.0.notify(None);
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
    runtime: Handle,
    notified: broadcast::Receiver<Option<LockName>>,
}

impl ListenerSubscription {
    /// Waits for the next notification, and returns the name that was released; `None` means that a
    /// read must find it.
    pub(super) async fn notified(&mut self) -> Option<LockName> {
        // The sender lives as long as this does, so an error means that this has lagged.
        self.notified.recv().await.unwrap_or(None)
    }

    /// Returns whether the grant with that token has refused the name to all clients of this store
    /// that wait for it.
    pub(super) fn is_refused_by(&self, name: &LockName, token: i64) -> bool {
        self.inner.state().is_refused_by(name, token)
    }

    /// Returns whether a change is waited for that no user-level lock will announce.
    pub(super) fn must_poll(&self) -> bool {
        self.inner.state().must_poll(Instant::now())
    }

    /// Returns when the next read is due, if the last one began at that moment; `None` while
    /// user-level locks announce every change that this store waits for.
    pub(super) fn read_due(&self, last_read: Instant) -> Option<Instant> {
        self.inner.state().read_due(last_read, Instant::now())
    }
}

impl Drop for ListenerSubscription {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        let of_this = |runtime: &Handle| runtime.id() == self.runtime.id();
        if let Some(at) = state.watches.iter().position(of_this) {
            state.watches.remove(at);
        }
        if state.watches.is_empty() {
            state.clear();
        }
    }
}
