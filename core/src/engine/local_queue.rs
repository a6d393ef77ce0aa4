//! The tasks of one client that wait for the same lock form a queue, of which only the first asks
//! the store.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::LockName;
use crate::lease::TrustDeadline;

/// The local queues have the waiters and the holders of a client's locks, by name.
///
/// The first waiter of a name asks the store and listens to hints; the others only wait. While a
/// guard of the same client holds the lock, even the first does not ask: it is woken when the
/// guard's release was answered or has failed. So a lock is handed over within a process in the order in which it
/// was asked for, by one release and one acquire, however many tasks wait.
///
/// A queue decides only when a waiter asks. Who holds the lock is decided by the store.
#[derive(Debug, Default)]
pub(crate) struct LocalQueues {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A name is here while it has a waiter or a holder.
    queues: BTreeMap<LockName, LocalQueue>,
    /// This numbers waiters and holders.
    numbered: u64,
}

#[derive(Debug, Default)]
struct LocalQueue {
    waiting: VecDeque<(u64, Arc<Notify>)>,
    holder: Option<(u64, Arc<TrustDeadline>)>,
    /// This describes the latest reply that did not end the wait of the first waiter.
    last_outcome: Option<Arc<str>>,
}

/// A queue position is that of one waiter, which leaves the queue when this value is dropped.
#[derive(Debug)]
pub(crate) struct QueuePosition {
    queues: Arc<LocalQueues>,
    name: LockName,
    number: u64,
    changed: Arc<Notify>,
}

/// The turn of a waiter says what it may do now.
#[derive(Debug)]
pub(crate) enum Turn {
    /// The waiter may ask the store.
    Ask,
    /// A guard of this client holds the lock, until this trust ends at the latest.
    HeldHere(Arc<TrustDeadline>),
    /// Another waiter is ahead.
    Queued,
}

/// A local holder is a guard of this client, until its release has ended. Dropping this value wakes
/// the first waiter.
#[derive(Debug)]
pub(crate) struct LocalHolder {
    queues: Arc<LocalQueues>,
    name: LockName,
    number: u64,
}

impl LocalQueues {
    /// Adds a waiter at the end of the name's queue.
    pub(crate) fn join(self: &Arc<Self>, name: LockName) -> QueuePosition {
        let changed = Arc::new(Notify::new());
        let mut state = self.state();
        let number = state.next_number();
        let queue = state.queues.entry(name.clone()).or_default();
        queue.waiting.push_back((number, changed.clone()));
        drop(state);
        QueuePosition { queues: self.clone(), name, number, changed }
    }

    /// Notes that a guard of this client holds the lock. An earlier holder has lost it.
    pub(crate) fn hold(self: &Arc<Self>, name: LockName, trust: Arc<TrustDeadline>) -> LocalHolder {
        let mut state = self.state();
        let number = state.next_number();
        let queue = state.queues.entry(name.clone()).or_default();
        queue.holder = Some((number, trust));
        queue.last_outcome = None;
        drop(state);
        LocalHolder { queues: self.clone(), name, number }
    }

    /// Wakes the first waiter, because the name may have become free.
    pub(crate) fn wake_first(&self, name: &LockName) {
        if let Some(queue) = self.state().queues.get(name) {
            queue.wake_first();
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

    fn remove_if_unused(&mut self, name: &LockName) {
        let unused = |queue: &LocalQueue| queue.waiting.is_empty() && queue.holder.is_none();
        if self.queues.get(name).is_some_and(unused) {
            self.queues.remove(name);
        }
    }
}

impl LocalQueue {
    fn wake_first(&self) {
        if let Some((_, changed)) = self.waiting.front() {
            changed.notify_one();
        }
    }

    fn is_first(&self, number: u64) -> bool {
        self.waiting.front().is_some_and(|(first, _)| *first == number)
    }

    /// Returns the trust of the guard that holds the lock here, unless it has lost it.
    fn holder(&self) -> Option<Arc<TrustDeadline>> {
        self.holder.as_ref().map(|(_, trust)| trust).filter(|trust| trust.is_kept()).cloned()
    }
}

impl QueuePosition {
    /// Returns what the waiter may do now.
    pub(crate) fn turn(&self) -> Turn {
        let state = self.queues.state();
        match state.queues.get(&self.name).filter(|queue| queue.is_first(self.number)) {
            Some(queue) => queue.holder().map_or(Turn::Ask, Turn::HeldHere),
            None => Turn::Queued,
        }
    }

    /// Waits until the turn of the waiter may have changed, or the name may have become free.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Records what the first waiter learned, for the waiters behind it.
    pub(crate) fn record_outcome(&self, outcome: String) {
        if let Some(queue) = self.queues.state().queues.get_mut(&self.name) {
            queue.last_outcome = Some(outcome.into());
        }
    }

    /// Returns the trust of the guard that holds the lock here, if there is one, and what the first
    /// waiter learned last.
    pub(crate) fn last_known(&self) -> (Option<Arc<TrustDeadline>>, Option<Arc<str>>) {
        let state = self.queues.state();
        match state.queues.get(&self.name) {
            Some(queue) => (queue.holder(), queue.last_outcome.clone()),
            None => (None, None),
        }
    }
}

impl Drop for QueuePosition {
    fn drop(&mut self) {
        let mut state = self.queues.state();
        let Some(queue) = state.queues.get_mut(&self.name) else { return };
        let was_first = queue.is_first(self.number);
        // The numbers increase from the first waiter to the last.
        if let Ok(at) = queue.waiting.binary_search_by_key(&self.number, |(number, _)| *number) {
            queue.waiting.remove(at);
        }
        if was_first {
            queue.wake_first();
        }
        state.remove_if_unused(&self.name);
    }
}

impl Drop for LocalHolder {
    fn drop(&mut self) {
        let mut state = self.queues.state();
        let Some(queue) = state.queues.get_mut(&self.name) else { return };
        if queue.holder.as_ref().is_some_and(|(number, _)| *number == self.number) {
            queue.holder = None;
            queue.wake_first();
        }
        state.remove_if_unused(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;
    use crate::{Clock, LossReason, SystemClock};

    fn name() -> LockName {
        LockName::new("job").unwrap()
    }

    fn trust() -> Arc<TrustDeadline> {
        let deadline = SystemClock.now() + Duration::from_secs(600);
        Arc::new(TrustDeadline::new(deadline, Arc::new(SystemClock)))
    }

    fn turns<const N: usize>(positions: [&QueuePosition; N]) -> [&'static str; N] {
        positions.map(|position| match position.turn() {
            Turn::Ask => "ask",
            Turn::HeldHere(_) => "held",
            Turn::Queued => "queued",
        })
    }

    fn is_woken(position: &QueuePosition) -> bool {
        position.changed().now_or_never().is_some()
    }

    #[test]
    fn the_first_waiter_asks_and_the_next_is_woken_when_it_leaves() {
        let queues = Arc::new(LocalQueues::default());
        let [first, second, third] = [(); 3].map(|()| queues.join(name()));
        let other = queues.join(LockName::new("other").unwrap());
        assert_eq!(turns([&first, &second, &third, &other]), ["ask", "queued", "queued", "ask"]);
        drop(second);
        assert!(!is_woken(&third), "it is not the first yet");
        drop(first);
        assert!(is_woken(&third));
        assert_eq!(turns([&third]), ["ask"]);
        drop((third, other));
        assert!(queues.state().queues.is_empty());
    }

    #[test]
    fn waiters_do_not_ask_while_a_guard_of_the_client_holds_the_lock() {
        let queues = Arc::new(LocalQueues::default());
        let holder = queues.hold(name(), trust());
        let [first, second] = [(); 2].map(|()| queues.join(name()));
        assert_eq!(turns([&first, &second]), ["held", "queued"]);
        drop(holder);
        assert!(is_woken(&first) && !is_woken(&second));
        assert_eq!(turns([&first, &second]), ["ask", "queued"]);
    }

    #[test]
    fn a_lost_lease_blocks_nobody() {
        let queues = Arc::new(LocalQueues::default());
        let disabled = LossReason::Disabled { reason: crate::Reason::new("upgrade").unwrap() };
        for loss in [LossReason::Gone, disabled] {
            let trust = trust();
            let _holder = queues.hold(name(), trust.clone());
            let first = queues.join(name());
            assert_eq!(turns([&first]), ["held"]);
            match loss {
                LossReason::Disabled { .. } => trust.stop_renewing(loss),
                _ => trust.expire_now(Some(loss)),
            }
            assert_eq!(turns([&first]), ["ask"]);
        }
    }

    #[test]
    fn the_end_of_an_earlier_holder_does_not_end_a_later_one() {
        let queues = Arc::new(LocalQueues::default());
        let lost = queues.hold(name(), trust());
        let holder = queues.hold(name(), trust());
        let first = queues.join(name());
        drop(lost);
        assert_eq!(turns([&first]), ["held"]);
        drop(holder);
        assert_eq!(turns([&first]), ["ask"]);
        drop(first);
        assert!(queues.state().queues.is_empty());
    }

    #[test]
    fn waiters_share_what_the_first_of_them_learned() {
        let queues = Arc::new(LocalQueues::default());
        let [first, second] = [(); 2].map(|()| queues.join(name()));
        first.record_outcome("held by another".to_owned());
        let learned = |position: &QueuePosition| position.last_known().1;
        assert_eq!(learned(&second).as_deref(), Some("held by another"));
        let _holder = queues.hold(name(), trust());
        assert_eq!(learned(&second), None, "it is out of date");
        assert!(second.last_known().0.is_some());
    }
}
