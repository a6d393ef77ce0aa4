//! The tasks of a listener share this state, which says for which holders waiters wait.

use std::collections::HashMap;
use std::mem;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, broadcast};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::user_lock::UserLockNames;
use crate::{Held, LockName};

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
    pub(super) watches: usize,
    /// These names were refused.
    pub(super) awaited: HashMap<LockName, Awaited>,
    /// An attempt found these names disabled at these moments. No user-level lock announces that a
    /// name is enabled.
    pub(super) disabled: HashMap<LockName, Instant>,
    /// An attempt found these names disabled at these moments, though another may have been refused
    /// since. Several clients share a store: one that asked before the name was enabled knows nothing
    /// of the grant that refused another.
    pub(super) found_disabled: HashMap<LockName, Instant>,
    /// A task listens for these holders; the value says whether it waits for their user-level lock.
    pub(super) listened: HashMap<Uuid, bool>,
    pub(super) tasks: Vec<AbortHandle>,
}

/// This is the latest grant that refused this store a name.
pub(super) struct Awaited {
    pub(super) holder: Uuid,
    /// The lease ends at this moment unless it is renewed. A waiter that still waits then asks
    /// again.
    pub(super) until: Instant,
    token: u64,
    /// A notification was taken for the release of this lease.
    taken_for_released: bool,
    /// A notification was wrongly taken for the release of this lease.
    was_wrong: bool,
}

impl Awaited {
    /// Notes a refusal, after the refusal of the same name that was noted last.
    pub(super) fn new(held: &Held, last: Option<&Self>) -> Self {
        let token = held.token.get();
        let was_wrong = last
            .is_some_and(|last| last.token == token && (last.taken_for_released || last.was_wrong));
        let (holder, until) = (held.holder.instance, Instant::now() + held.left);
        Self { holder, until, token, taken_for_released: false, was_wrong }
    }
}

impl ListenerState {
    /// Returns the name of that holder that was released, as far as a notification tells. The
    /// holder's other names cause notifications too, so one that was wrong is not trusted again.
    fn take_for_released(&mut self, holder: Uuid) -> Option<LockName> {
        let mut of_holder = self.awaited.iter_mut().filter(|(_, one)| one.holder == holder);
        match (of_holder.next(), of_holder.next()) {
            (Some((name, awaited)), None) if !awaited.was_wrong => {
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

    /// Returns the next holder to listen for.
    pub(super) fn next_holder(&self) -> Option<ListenedHolder<'_>> {
        let now = Instant::now();
        let mut state = self.state();
        state.awaited.retain(|_, awaited| awaited.until > now);
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
    /// Notes whether the task waits for this holder's user-level lock, and returns whether it
    /// begins to.
    pub(super) fn set_waiting(&self, waits: bool) -> bool {
        let mut state = self.inner.state();
        let listened = state.listened.get_mut(&self.holder);
        let before = listened.map(|listened| mem::replace(listened, waits));
        waits && before == Some(false)
    }
}

impl Drop for ListenedHolder<'_> {
    fn drop(&mut self) {
        self.inner.state().listened.remove(&self.holder);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{FencingToken, Holder};

    fn held(holder: &Holder, token: u64) -> Held {
        let token = FencingToken::new(token).unwrap();
        Held::new(holder.clone(), token, Duration::from_secs(60))
    }

    fn refuse(state: &mut ListenerState, name: &LockName, held: &Held) {
        let awaited = Awaited::new(held, state.awaited.get(name));
        state.awaited.insert(name.clone(), awaited);
    }

    #[test]
    fn the_only_name_of_a_holder_is_taken_for_released_until_that_was_wrong() {
        let [job, other] = ["job", "other"].map(|name| LockName::new(name).unwrap());
        let (holder, another) = (Holder::current(), Holder::current());
        let mut state = ListenerState::default();
        refuse(&mut state, &job, &held(&holder, 1_000));
        refuse(&mut state, &other, &held(&another, 1_000));
        assert_eq!(state.take_for_released(holder.instance), Some(job.clone()));
        // The same grant still refuses the name, so another lease of the holder was released.
        for _ in 0..2 {
            refuse(&mut state, &job, &held(&holder, 1_000));
            assert_eq!(state.take_for_released(holder.instance), None);
        }
        refuse(&mut state, &job, &held(&holder, 2_000));
        assert_eq!(state.take_for_released(holder.instance), Some(job.clone()));
        refuse(&mut state, &job, &held(&holder, 3_000));
        refuse(&mut state, &other, &held(&holder, 3_000));
        assert_eq!(state.take_for_released(holder.instance), None, "it may be either of them");
    }

    #[test]
    fn a_signal_is_outdated_only_while_the_grant_that_refused_the_name_stands() {
        let [job, other] = ["job", "other"].map(|name| LockName::new(name).unwrap());
        let mut state = ListenerState::default();
        refuse(&mut state, &job, &held(&Holder::current(), 2_000));
        assert!(state.is_refused_by(&job, 2_000));
        assert!(!state.is_refused_by(&job, 0), "it was released");
        assert!(!state.is_refused_by(&job, 1_000), "the read is of an earlier state");
        assert!(!state.is_refused_by(&other, 2_000));
        // Another client of the store may know only that the name was disabled.
        state.found_disabled.insert(job.clone(), Instant::now());
        assert!(!state.is_refused_by(&job, 2_000));
        state.clear();
        refuse(&mut state, &job, &held(&Holder::current(), 2_000));
        assert!(state.is_refused_by(&job, 2_000));
    }
}
