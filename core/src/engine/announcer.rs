//! The announcer keeps a record of this instance in the store while it campaigns. The record lasts
//! for two ttls and is renewed once per ttl.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tracing::debug;

use super::{BackgroundRuntime, BoundedStore};
use crate::{ErrorKind, Holder, LockName, MAX_TTL, Moment, Presence, Timing};

/// Announces the names that the elections of a client campaign for.
///
/// It runs while there are campaigns, in the client's [background](BackgroundRuntime). A failed
/// call is retried after a heartbeat interval: no election depends on it, so it is announced less
/// often than a lease is renewed.
#[derive(Debug)]
pub(crate) struct PresenceAnnouncer {
    store: BoundedStore,
    background: Arc<BackgroundRuntime>,
    holder: Holder,
    /// The record expires this long after an announcement.
    lifetime: Duration,
    /// The record is renewed at this interval.
    interval: Duration,
    retry_interval: Duration,
    limit: Duration,
    withdraw_limit: Duration,
    state: Mutex<Announced>,
    changed: Notify,
    /// This is notified when the task has ended.
    stopped: Notify,
}

#[derive(Debug, Default)]
struct Announced {
    /// This counts the campaigns for each name.
    campaigns: BTreeMap<LockName, usize>,
    running: bool,
    /// The store does not support instance records.
    unsupported: bool,
}

/// A candidacy is the campaign of one election; it ends when this value is dropped.
#[derive(Debug)]
pub(crate) struct Candidacy {
    announcer: Arc<PresenceAnnouncer>,
    name: LockName,
}

impl PresenceAnnouncer {
    pub(crate) fn new(
        store: BoundedStore,
        background: Arc<BackgroundRuntime>,
        holder: Holder,
        timing: &Timing,
    ) -> Self {
        // A store keeps no record for longer than the longest ttl.
        let lifetime = timing.ttl.saturating_mul(2).min(MAX_TTL);
        Self {
            store,
            background,
            holder,
            lifetime,
            interval: lifetime / 2,
            // A call that failed, or had no reply, is repeated before the record expires.
            retry_interval: timing.heartbeat_interval.min(timing.ttl / 5),
            limit: timing.leave_timeout().min(timing.ttl / 4),
            withdraw_limit: timing.leave_timeout(),
            state: Mutex::default(),
            changed: Notify::new(),
            stopped: Notify::new(),
        }
    }

    /// Adds a campaign for the name. This must be called within a runtime.
    pub(crate) fn register_candidate(self: &Arc<Self>, name: LockName) -> Candidacy {
        let mut state = self.state();
        *state.campaigns.entry(name.clone()).or_default() += 1;
        let begin = !state.unsupported && !std::mem::replace(&mut state.running, true);
        drop(state);
        if begin {
            // The state is unlocked here: without a runtime, the task is dropped at once.
            let task = AnnounceTask { announcer: self.clone(), stopped: false };
            self.background.runtime().spawn(announce(task));
        } else {
            // A new task announces all campaigns by itself.
            self.changed.notify_one();
        }
        Candidacy { announcer: self.clone(), name }
    }

    fn state(&self) -> MutexGuard<'_, Announced> {
        self.state.lock()
    }

    /// Waits until the withdrawal was sent to the store or has failed. While any campaign is open,
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

    /// Returns the presence to announce, or `None` without a campaign.
    fn presence(&self) -> Option<Presence> {
        let state = self.state();
        let campaigns: Vec<_> =
            state.campaigns.keys().take(Presence::MAX_LISTED).cloned().collect();
        let unlisted = state.campaigns.len() - campaigns.len();
        let holder = self.holder.clone();
        (!campaigns.is_empty()).then_some(Presence { holder, campaigns, unlisted })
    }
}

impl Candidacy {
    /// Ends the campaign. If it was the client's last one, this waits, until `by` at the latest,
    /// for the withdrawal, so that a process that exits right after it leaves no record.
    pub(crate) async fn withdraw_by(self, by: Moment) {
        let announcer = self.announcer.clone();
        drop(self);
        tokio::select! {
            biased;
            () = announcer.until_idle() => {}
            // The store hangs, or nothing drives the task's runtime.
            () = announcer.store.clock().sleep_until(by) => {}
        }
    }
}

impl Drop for Candidacy {
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

/// The task owns this value, which marks the announcer as stopped however the task ends.
struct AnnounceTask {
    announcer: Arc<PresenceAnnouncer>,
    stopped: bool,
}

impl AnnounceTask {
    /// Returns whether to stop. The decision is recorded under the same lock, so that no new
    /// candidacy relies on a task that ends.
    fn stop_if_idle(&mut self) -> bool {
        let mut state = self.announcer.state();
        if state.unsupported || state.campaigns.is_empty() {
            state.running = false;
            self.stopped = true;
            self.announcer.stopped.notify_waiters();
        }
        self.stopped
    }
}

impl Drop for AnnounceTask {
    fn drop(&mut self) {
        if !self.stopped {
            self.announcer.state().running = false;
            self.announcer.stopped.notify_waiters();
        }
    }
}

async fn announce(mut task: AnnounceTask) {
    let announcer = task.announcer.clone();
    let PresenceAnnouncer {
        store, lifetime, interval, retry_interval, limit, withdraw_limit, ..
    } = &*announcer;
    loop {
        let sent = store.clock().now();
        let presence = announcer.presence();
        let outcome = match &presence {
            Some(presence) => store.announce(presence, *lifetime, *limit).await,
            None => store.withdraw(announcer.holder.instance, *withdraw_limit).await,
        };
        let mut next = sent + *interval;
        if let Err(error) = outcome {
            debug!(%error, "cannot announce this instance");
            announcer.state().unsupported |= error.kind() == ErrorKind::Unsupported;
            next = store.clock().now() + *retry_interval;
        }
        if (presence.is_none() || announcer.state().unsupported) && task.stop_if_idle() {
            return;
        }
        tokio::select! {
            biased;
            () = announcer.changed.notified() => {}
            () = store.clock().sleep_until(next) => {}
        }
    }
}
