//! Makes this instance known in the store while it campaigns, by one record, at the heartbeat's pace.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::debug;

use super::{Background, BoundedStore};
use crate::{ErrorKind, Holder, LockName, Moment, Presence, Timing};

/// Announces the names that the elections of a client campaign for.
///
/// It runs while there are any, in the client's [background](Background). What fails is tried again
/// at the next beat: no election depends on it.
#[derive(Debug)]
pub(crate) struct Announcer {
    store: BoundedStore,
    background: Arc<Background>,
    holder: Holder,
    interval: Duration,
    ttl: Duration,
    limit: Duration,
    state: Mutex<State>,
    changed: Notify,
    /// The task has ended.
    stopped: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// How often each is campaigned for.
    campaigns: BTreeMap<LockName, usize>,
    running: bool,
    /// The store cannot.
    unsupported: bool,
}

/// An election that campaigns, until it is dropped.
#[derive(Debug)]
pub(crate) struct Campaign {
    announcer: Arc<Announcer>,
    name: LockName,
}

impl Announcer {
    pub(crate) fn new(
        store: BoundedStore,
        background: Arc<Background>,
        holder: Holder,
        timing: &Timing,
    ) -> Self {
        Self {
            store,
            background,
            holder,
            interval: timing.heartbeat_interval,
            ttl: timing.ttl,
            limit: timing.leave_timeout(),
            state: Mutex::default(),
            changed: Notify::new(),
            stopped: Notify::new(),
        }
    }

    /// Called within a runtime.
    pub(crate) fn campaign(self: &Arc<Self>, name: LockName) -> Campaign {
        let mut state = self.state();
        *state.campaigns.entry(name.clone()).or_default() += 1;
        let begin = !state.unsupported && !std::mem::replace(&mut state.running, true);
        drop(state);
        if begin {
            // With the state unlocked: where there is no runtime, the task is dropped right here.
            let running = Running { announcer: self.clone(), said: false };
            self.background.runtime().spawn(announce(running));
        }
        self.changed.notify_one();
        Campaign { announcer: self.clone(), name }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns once the withdrawal was sent to the store or has failed. While any campaign is open,
    /// it returns at once.
    async fn until_idle(&self) {
        loop {
            let stopped = self.stopped.notified();
            {
                let state = self.state();
                if !state.running || !state.campaigns.is_empty() {
                    return;
                }
            }
            // After the withdrawal the task makes no further call.
            stopped.await;
        }
    }

    /// What is to be made known; none when nothing is.
    fn presence(&self) -> Option<Presence> {
        let state = self.state();
        let campaigns: Vec<_> = state.campaigns.keys().take(Presence::LISTED).cloned().collect();
        let unlisted = state.campaigns.len() - campaigns.len();
        let holder = self.holder.clone();
        (!campaigns.is_empty()).then_some(Presence { holder, campaigns, unlisted })
    }
}

impl Campaign {
    /// Leaves, and waits until the store has been told, or could not be, if this was the last of
    /// the client's: a process that exits right after leaves no trace. It waits until `by` at the
    /// latest.
    pub(crate) async fn leave(self, by: Moment) {
        let announcer = self.announcer.clone();
        drop(self);
        tokio::select! {
            biased;
            () = announcer.until_idle() => {}
            // The store hangs, or the runtime of the task is not driven.
            () = announcer.store.clock().sleep_until(by) => {}
        }
    }
}

impl Drop for Campaign {
    fn drop(&mut self) {
        let mut state = self.announcer.state();
        if let Some(count) = state.campaigns.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                state.campaigns.remove(&self.name);
            }
        }
        drop(state);
        self.announcer.changed.notify_one();
    }
}

/// The announcer while its task runs: said not to run however that ends.
struct Running {
    announcer: Arc<Announcer>,
    said: bool,
}

impl Running {
    /// Whether to stop, decided and said in one step, lest a newcomer rely on a task that ends.
    fn stop_if_idle(&mut self) -> bool {
        let mut state = self.announcer.state();
        if state.unsupported || state.campaigns.is_empty() {
            state.running = false;
            self.said = true;
            self.announcer.stopped.notify_waiters();
        }
        self.said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.said {
            self.announcer.state().running = false;
            self.announcer.stopped.notify_waiters();
        }
    }
}

async fn announce(mut running: Running) {
    let announcer = running.announcer.clone();
    let Announcer { store, interval, ttl, limit, .. } = &*announcer;
    loop {
        let presence = announcer.presence();
        let outcome = match &presence {
            Some(presence) => store.announce(presence, *ttl, *limit).await,
            None => store.withdraw(announcer.holder.instance, *limit).await,
        };
        if let Err(error) = outcome {
            debug!(%error, "this instance could not be made known");
            announcer.state().unsupported |= error.kind() == ErrorKind::Unsupported;
        }
        if (presence.is_none() || announcer.state().unsupported) && running.stop_if_idle() {
            return;
        }
        tokio::select! {
            biased;
            () = announcer.changed.notified() => {}
            () = store.clock().sleep_until(store.clock().now() + *interval) => {}
        }
    }
}
