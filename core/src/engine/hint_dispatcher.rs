//! One watch serves all waiters of a client: the store's hints are dispatched by name.

mod watch_task;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::renewed_lease::RenewedLease;
use super::subscribers::{Change, Subscribers, Wakeup, WatchPosition};
use super::{BackgroundRuntime, BoundedStore, SeededRandom};
use crate::{LeaseId, LockName, Moment};

/// The dispatcher passes the store's hints to the subscribers of each name.
///
/// The watch runs while there are subscribers and for [some time](Self::LINGER) after that, in the
/// client's [background](BackgroundRuntime).
#[derive(Debug)]
pub(crate) struct HintDispatcher {
    store: BoundedStore,
    background: Arc<BackgroundRuntime>,
    random: Arc<SeededRandom>,
    /// This is false if the client does not watch the store, so waiters poll.
    enabled: bool,
    state: Mutex<State>,
    /// This is notified when the watch may have to end, unless its task checks that at a later
    /// moment by itself.
    unused: Notify,
}

#[derive(Debug, Default)]
struct State {
    subscribers: Subscribers,
    /// A task opens the watch or follows it.
    watching: bool,
    /// There were no subscribers from this moment on.
    unused_since: Option<Moment>,
    /// The watch's task checks at a later moment whether the watch is still unused.
    checks_later: bool,
    /// The client was dropped.
    closed: bool,
}

/// A subscription wakes its owner when the name may have changed. Several hints may wake it once.
#[derive(Debug)]
pub(crate) struct Subscription {
    dispatcher: Arc<HintDispatcher>,
    name: LockName,
    wakeup: Arc<Wakeup>,
}

impl HintDispatcher {
    pub(crate) fn new(
        store: BoundedStore,
        background: Arc<BackgroundRuntime>,
        random: Arc<SeededRandom>,
        enabled: bool,
    ) -> Self {
        let (state, unused) = (Mutex::default(), Notify::new());
        Self { store, background, random, enabled, state, unused }
    }

    /// Returns the present position in the hints, or `None` if the watch is not open.
    pub(crate) fn position(&self) -> Option<WatchPosition> {
        self.state().subscribers.position()
    }

    /// Subscribes to a name before the store is asked about it. This must be called within a
    /// runtime.
    pub(crate) fn subscribe(self: &Arc<Self>, name: LockName) -> Subscription {
        let position = self.position();
        self.subscribe_since(name, position)
    }

    /// Subscribes to a name after the store was asked about it; `since` is the position from before
    /// that. This must be called within a runtime.
    ///
    /// The subscriber is woken at once if there may have been a hint in between. If the watch is
    /// not open yet, the subscriber is woken when it is.
    pub(crate) fn subscribe_since(
        self: &Arc<Self>,
        name: LockName,
        since: Option<WatchPosition>,
    ) -> Subscription {
        let mut state = self.state();
        state.unused_since = None;
        let wakeup = state.subscribers.add(name.clone(), since);
        drop(state);
        let subscription = Subscription { dispatcher: self.clone(), name, wakeup };
        self.ensure_watched(Duration::ZERO);
        subscription
    }

    /// Subscribes a held lease before its first renewal is sent, and returns the number of the
    /// subscription. This must be called within a runtime.
    pub(crate) fn subscribe_lease(
        self: &Arc<Self>,
        name: LockName,
        lease: Arc<dyn RenewedLease>,
    ) -> u64 {
        let mut state = self.state();
        state.unused_since = None;
        let number = state.subscribers.add_lease(name, lease);
        drop(state);
        self.ensure_watched(Duration::ZERO);
        number
    }

    /// Ends the subscription of a held lease.
    pub(crate) fn unsubscribe_lease(&self, name: LockName, number: u64) {
        let mut state = self.state();
        let removed = state.subscribers.remove_lease(name, number);
        self.end_watch_if_unused(state);
        drop(removed);
    }

    /// Watches the store again if the watch has ended with its runtime, or panicked. This must be
    /// called within a runtime.
    pub(crate) fn restart_watch_if_ended(self: &Arc<Self>) {
        self.ensure_watched(Self::RECONNECT_BACKOFF.1);
    }

    /// Lets the watch end after some time if it has no subscribers.
    fn end_watch_if_unused(&self, mut state: MutexGuard<'_, State>) {
        if state.subscribers.is_empty() {
            state.unused_since = Some(self.store.clock().now());
            if state.closed || !state.checks_later {
                self.unused.notify_one();
            }
        }
    }

    /// Ends the watch as soon as it has no subscribers, because the client was dropped.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.unused.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn end_watch(&mut self) {
        self.subscribers.watch_ended();
        (self.watching, self.checks_later) = (false, false);
    }
}

impl Subscription {
    /// Waits until the name may have changed since the last return.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn changed(&self) -> Change {
        poll_fn(|context| self.poll_changed(context)).await
    }

    /// Sets the lease of the entry that the subscriber waits for: from now on a hint about the
    /// entries of others does not wake it.
    pub(crate) fn set_entry(&self, lease: Option<LeaseId>) {
        self.wakeup.set_entry(lease);
    }

    fn poll_changed(&self, context: &Context<'_>) -> Poll<Change> {
        ready!(self.wakeup.poll_woken(context));
        // The watch may have ended with its runtime, or panicked.
        if !self.dispatcher.ensure_watched(HintDispatcher::RECONNECT_BACKOFF.1) {
            return Poll::Ready(self.wakeup.take_change());
        }
        // In a runtime that shuts down, a new watch is dropped at once, which wakes this waiter
        // again. Without a pause this would loop forever, and the runtime would wait for it.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.dispatcher.state();
        state.subscribers.remove(&self.name, &self.wakeup);
        self.dispatcher.end_watch_if_unused(state);
    }
}

#[cfg(test)]
mod tests;
