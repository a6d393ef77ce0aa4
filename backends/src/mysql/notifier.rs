//! On the holder's side of release notifications, one connection per store keeps the user-level
//! lock of its holder while it holds leases, and passes the lock on when a lease was released.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::user_lock::{UserLockConnection, UserLockNames};
use crate::{LeaseId, RenewOutcome, background_runtime};

/// The user-level lock is kept for this long after the last lease, for the next one.
const KEEP_AFTER_LAST_LEASE: Duration = Duration::from_secs(10);

/// At this interval the task checks which leases expired, and whether its user-level locks are still
/// kept.
const CHECK_INTERVAL: Duration = Duration::from_secs(15);

/// A store has one holder; if there are more, at most this many share its connection.
const MAX_HOLDERS: usize = 8;

/// Notifications have this pause; the next one counts for all releases since. A client that
/// acquires and releases again and again without a competitor otherwise causes a third statement
/// each time.
const PAUSE: Duration = Duration::from_millis(5);

/// Attempts to acquire user-level locks that another session keeps have these pauses, at first and
/// at most.
const LOCK_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// Keeps user-level locks and passes them on, in a task that runs while the store holds leases.
pub(super) struct Notifier(Arc<Inner>);

struct Inner {
    names: UserLockNames,
    state: Mutex<NotifierState>,
    wake: Notify,
}

#[derive(Default)]
struct NotifierState {
    /// These leases are in force as far as is known; each has its holder and the moment when it
    /// ends.
    leases: HashMap<LeaseId, (Uuid, Instant)>,
    /// The user-level locks of these holders are needed; the value says when each was last needed.
    holders: HashMap<Uuid, Instant>,
    /// The waiters of these holders are to be notified.
    to_notify: HashSet<Uuid>,
    task: Option<AbortHandle>,
}

impl Notifier {
    pub(super) fn new(names: UserLockNames) -> Self {
        Self(Arc::new(Inner { names, state: Mutex::default(), wake: Notify::new() }))
    }

    /// Returns whether this store notifies the waiters of that holder.
    pub(super) fn notifies_for(&self, holder: Uuid) -> bool {
        self.0.state().holders.contains_key(&holder)
    }

    /// Returns whether this store holds leases, or did a short time ago.
    pub(super) fn holds_leases(&self) -> bool {
        !self.0.state().holders.is_empty()
    }

    /// Returns whether this lease was granted, and is not known to be over.
    pub(super) fn has_lease(&self, lease: LeaseId) -> bool {
        self.0.state().leases.contains_key(&lease)
    }

    /// Keeps the holder's user-level lock from now on; the connection is opened in the background.
    pub(super) fn granted(&self, holder: Uuid, lease: LeaseId, left: Duration) {
        let now = Instant::now();
        let mut state = self.0.state();
        if !state.holders.contains_key(&holder) && state.holders.len() >= MAX_HOLDERS {
            return;
        }
        state.leases.insert(lease, (holder, now + left));
        let new = state.holders.insert(holder, now).is_none();
        // The task may have ended with its runtime.
        if state.task.as_ref().is_none_or(AbortHandle::is_finished) {
            // The caller's runtime may be blocked when the lease is released, and waiters would not
            // read in time: they see that the user-level lock is kept.
            let task = background_runtime().spawn(run(Arc::clone(&self.0)));
            state.task = Some(task.abort_handle());
        } else if new {
            self.0.wake.notify_one();
        }
    }

    pub(super) fn renewed<'a>(&self, leases: impl Iterator<Item = (LeaseId, &'a RenewOutcome)>) {
        let now = Instant::now();
        let mut state = self.0.state();
        for (lease, outcome) in leases {
            match outcome {
                RenewOutcome::Extended { left, .. } => {
                    if let Some((_, until)) = state.leases.get_mut(&lease) {
                        *until = now + *left;
                    }
                }
                RenewOutcome::Lost => _ = state.leases.remove(&lease),
                RenewOutcome::Queued { .. }
                | RenewOutcome::Disabled { .. }
                | RenewOutcome::Unknown { .. } => {}
            }
        }
    }

    /// Forgets a lease that is over, and notifies the waiters if it was released.
    pub(super) fn remove(&self, lease: LeaseId, is_released: bool) {
        let mut state = self.0.state();
        let NotifierState { leases, holders, to_notify, .. } = &mut *state;
        let before = to_notify.len();
        match leases.remove(&lease) {
            Some((holder, _)) => {
                holders.insert(holder, Instant::now());
                if is_released {
                    to_notify.insert(holder);
                }
            }
            // It was granted by a call without a reply, and its waiters may wait for the user-level
            // lock that its holder keeps for other leases.
            None if is_released => to_notify.extend(holders.keys().copied()),
            None => {}
        }
        if to_notify.len() > before {
            self.0.wake.notify_one();
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        if let Some(task) = self.0.state().task.take() {
            task.abort();
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, NotifierState> {
        self.state.lock()
    }

    /// Returns the holders whose user-level locks must be kept, or `None` if the task has nothing left
    /// to do; then the task is forgotten.
    fn holders_to_lock(&self) -> Option<HashSet<Uuid>> {
        let now = Instant::now();
        let mut state = self.state();
        let NotifierState { leases, holders, to_notify, task } = &mut *state;
        leases.retain(|_, (holder, until)| {
            let in_force = *until > now;
            if in_force && let Some(last) = holders.get_mut(holder) {
                *last = now;
            }
            in_force
        });
        holders.retain(|_, last| now.duration_since(*last) < KEEP_AFTER_LAST_LEASE);
        if holders.is_empty() {
            to_notify.clear();
            *task = None;
            return None;
        }
        Some(holders.keys().copied().collect())
    }

    /// Returns the holders whose locks must be kept.
    fn holders(&self) -> HashSet<Uuid> {
        self.state().holders.keys().copied().collect()
    }

    /// Takes the holders whose waiters are to be notified.
    fn take_notifications(&self) -> HashSet<Uuid> {
        mem::take(&mut self.state().to_notify)
    }

    fn has_notifications(&self) -> bool {
        !self.state().to_notify.is_empty()
    }
}

async fn run(inner: Arc<Inner>) {
    let mut task = NotifierTask {
        names: &inner.names,
        connection: None,
        locked: HashSet::new(),
        pause: LOCK_BACKOFF.0,
        notify_at: Instant::now(),
        retry_at: Instant::now(),
    };
    let closed = inner.names.pool.close_event();
    tokio::select! {
        () = task.serve(&inner) => {}
        () = closed => {}
    }
    if let Some(connection) = task.connection.take() {
        connection.close().await;
    }
}

/// This is the state of the task that keeps the user-level locks.
struct NotifierTask<'a> {
    names: &'a UserLockNames,
    connection: Option<UserLockConnection>,
    /// The connection keeps the user-level locks of these holders.
    locked: HashSet<Uuid>,
    pause: Duration,
    /// Waiters are not notified before this moment.
    notify_at: Instant,
    /// The task tries again at this moment to acquire the missing locks.
    retry_at: Instant,
}

impl NotifierTask<'_> {
    async fn serve(&mut self, inner: &Inner) {
        let mut next_check = Instant::now();
        let mut close_all = self.names.close_all_signal();
        loop {
            let mut needed = inner.holders();
            let mut to_notify = HashSet::new();
            if Instant::now() >= self.notify_at {
                to_notify = inner.take_notifications();
            }
            let mut check = false;
            if Instant::now() >= next_check {
                next_check = Instant::now() + CHECK_INTERVAL;
                check = true;
                match inner.holders_to_lock() {
                    Some(still) => needed = still,
                    None => return,
                }
            }
            if let Err(error) = self.update_locks(&to_notify, &needed, check).await {
                tracing::debug!(%error, "waiters cannot be notified of releases; they poll instead");
                self.connection = None;
                self.locked.clear();
                self.back_off();
            }
            let missing = !needed.is_subset(&self.locked);
            let mut until = if missing { self.retry_at.min(next_check) } else { next_check };
            if inner.has_notifications() {
                until = until.min(self.notify_at);
            }
            tokio::select! {
                () = inner.wake.notified() => {}
                () = sleep_until(until) => {}
                // The next connection follows the address.
                Ok(()) = close_all.changed() => {
                    self.connection = None;
                    self.locked.clear();
                    self.retry_at = Instant::now();
                }
            }
        }
    }

    async fn update_locks(
        &mut self,
        to_notify: &HashSet<Uuid>,
        needed: &HashSet<Uuid>,
        check: bool,
    ) -> sqlx::Result<()> {
        if let Some(connection) = &mut self.connection {
            for holder in to_notify.intersection(&self.locked) {
                connection.pass_on(&self.names.name_of(*holder)).await?;
                self.notify_at = Instant::now() + PAUSE;
            }
            if check {
                for holder in self.locked.clone() {
                    let name = self.names.name_of(holder);
                    if !needed.contains(&holder) {
                        connection.release(&name).await?;
                        self.locked.remove(&holder);
                    } else if !connection.holds(&name).await? {
                        self.locked.remove(&holder);
                    }
                }
            }
        }
        if needed.is_subset(&self.locked) || Instant::now() < self.retry_at {
            return Ok(());
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => empty.insert(UserLockConnection::open(self.names).await?),
        };
        for holder in needed {
            if !self.locked.contains(holder)
                && connection.acquire(&self.names.name_of(*holder)).await?
            {
                self.locked.insert(*holder);
            }
        }
        if needed.is_subset(&self.locked) {
            self.pause = LOCK_BACKOFF.0;
        } else {
            // Another session keeps it: one that is dead already, or another store of that holder.
            self.back_off();
        }
        Ok(())
    }

    fn back_off(&mut self) {
        self.retry_at = Instant::now() + self.pause.mul_f64(0.75 + fastrand::f64() / 2.0);
        self.pause = (self.pause * 2).min(LOCK_BACKOFF.1);
    }
}

#[cfg(test)]
mod tests;
