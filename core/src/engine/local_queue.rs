//! The tasks of one client that wait for the same lock form a queue, of which only the first asks
//! the store.

mod learned;
mod pauses;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::lease::{HintRaces, TrustDeadline};
use crate::{Clock, LockName, Moment, Wake};

use pauses::HandOverPauses;

/// The local queues have the waiters and the holders of a client's locks, by name.
///
/// The first waiter of a name asks the store and listens to hints; the others only wait. While a
/// guard of the same client holds the lock, even the first does not ask: it is woken when the
/// guard's release was answered or has failed. So a lock is handed over within a process in the
/// order of the calls, by one release and one acquire, however many tasks wait.
///
/// The waiters of other clients hear of a release by a hint, which is later than that. So that they
/// get the lock too, the first waiter [pauses](HandOverPauses) from time to time before it asks.
///
/// A lock that has a queue in the store has waiters here and no holders: the first waiter enters that
/// queue at once, also while guards of the client hold the lock, and waits there. When it is granted
/// or gives up, the next one follows. So a client has one entry that waits, however many tasks do.
///
/// A queue decides only when a waiter asks. The store decides who holds the lock.
#[derive(Debug)]
pub(crate) struct LocalQueues {
    clock: Arc<dyn Clock>,
    /// Within this time other clients have received the hint of a release and have asked.
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A name is here while it has a waiter or a holder.
    queues: BTreeMap<LockName, LocalQueue>,
    /// This numbers waiters and holders.
    last_number: u64,
}

/// Most locks are held without waiters, so this is small.
#[derive(Debug, Default)]
struct LocalQueue {
    waiting: Option<Box<Waiters>>,
    holder: Option<(u64, Arc<TrustDeadline>)>,
    contention: Option<Box<Contention>>,
}

/// These are the waiters of a name, of which there is at least one, in the order of their numbers.
#[derive(Debug, Default)]
struct Waiters(VecDeque<(u64, Arc<Notify>)>);

/// The contention of a name is what is known of the waiters of this client and of others.
#[derive(Debug, Default)]
struct Contention {
    /// This describes the latest reply that did not end the wait of the first waiter.
    last_outcome: Option<Arc<str>>,
    pauses: HandOverPauses,
    /// These are the races of the waiters against other clients.
    races: HintRaces,
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
    /// The clients of other processes may ask first, until this moment.
    Paused(Moment),
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
    /// A hint that the store pushes takes less than this.
    const PUSHED_WITHIN: Duration = Duration::from_millis(20);

    pub(crate) fn new(clock: Arc<dyn Clock>, wake: Wake) -> Self {
        let polled = match wake {
            Wake::Push => Duration::ZERO,
            Wake::Poll(interval) => interval,
        };
        let pause = polled + Self::PUSHED_WITHIN + HintRaces::MAX_SPREAD;
        Self { clock, pause, state: Mutex::default() }
    }

    /// Adds a waiter at the end of the name's queue.
    pub(crate) fn join(self: &Arc<Self>, name: LockName) -> QueuePosition {
        let changed = Arc::new(Notify::new());
        let mut state = self.state();
        let number = state.next_number();
        let queue = state.queues.entry(name.clone()).or_default();
        queue.waiting.get_or_insert_default().0.push_back((number, changed.clone()));
        drop(state);
        QueuePosition { queues: self.clone(), name, number, changed }
    }

    /// Notes that a guard of this client holds the lock. An earlier holder has lost it.
    pub(crate) fn hold(self: &Arc<Self>, name: LockName, trust: Arc<TrustDeadline>) -> LocalHolder {
        let mut state = self.state();
        let number = state.next_number();
        let queue = state.queues.entry(name.clone()).or_default();
        queue.holder = Some((number, trust));
        if let Some(contention) = &mut queue.contention {
            contention.last_outcome = None;
        }
        let first = queue.first();
        drop(state);
        // From now on the first waiter waits for the end of this trust.
        wake(first);
        LocalHolder { queues: self.clone(), name, number }
    }

    /// Wakes the first waiter, because the name may have become free.
    pub(crate) fn wake_first(&self, name: &LockName) {
        let first = self.state().queues.get(name).and_then(LocalQueue::first);
        wake(first);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn remove_if_unused(&mut self, name: &LockName) {
        let unused = |queue: &LocalQueue| queue.waiting.is_none() && queue.holder.is_none();
        if self.queues.get(name).is_some_and(unused) {
            self.queues.remove(name);
        }
    }
}

impl LocalQueue {
    fn first_waiter(&self) -> Option<&(u64, Arc<Notify>)> {
        self.waiting.as_ref()?.0.front()
    }

    fn first(&self) -> Option<Arc<Notify>> {
        self.first_waiter().map(|(_, changed)| changed.clone())
    }

    fn remove_waiter(&mut self, number: u64) {
        let Some(Waiters(waiting)) = self.waiting.as_deref_mut() else { return };
        if let Ok(at) = waiting.binary_search_by_key(&number, |(number, _)| *number) {
            waiting.remove(at);
        }
        if waiting.is_empty() {
            // A guard may hold the lock for long, without another waiter.
            self.waiting = None;
        }
    }

    /// Hands the lock over to the first waiter, which it returns, or lets other clients ask first
    /// if it was handed over here for long.
    fn hand_over(&mut self, now: Moment, pause: Duration) -> Option<Arc<Notify>> {
        self.holder = None;
        let first = self.first()?;
        self.contention().pauses.hand_over(now, pause);
        Some(first)
    }

    fn contention(&mut self) -> &mut Contention {
        self.contention.get_or_insert_default()
    }

    fn is_first(&self, number: u64) -> bool {
        self.first_waiter().is_some_and(|(first, _)| *first == number)
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
        let queue = state.queues.get(&self.name).filter(|queue| queue.is_first(self.number));
        let Some(queue) = queue else { return Turn::Queued };
        if let Some(trust) = queue.holder() {
            return Turn::HeldHere(trust);
        }
        let now = self.queues.clock.now();
        let pauses = queue.contention.as_ref().map(|contention| &contention.pauses);
        pauses.and_then(|pauses| pauses.paused_until(now)).map_or(Turn::Ask, Turn::Paused)
    }

    /// Waits until the turn of the waiter may have changed, or the name may have become free.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Drop for QueuePosition {
    fn drop(&mut self) {
        let mut state = self.queues.state();
        let Some(queue) = state.queues.get_mut(&self.name) else { return };
        let was_first = queue.is_first(self.number);
        queue.remove_waiter(self.number);
        let next = if was_first { queue.first() } else { None };
        state.remove_if_unused(&self.name);
        drop(state);
        wake(next);
    }
}

impl Drop for LocalHolder {
    fn drop(&mut self) {
        let mut state = self.queues.state();
        let Some(queue) = state.queues.get_mut(&self.name) else { return };
        let is_holder = queue.holder.as_ref().is_some_and(|(number, _)| *number == self.number);
        let next = if is_holder {
            queue.hand_over(self.queues.clock.now(), self.queues.pause)
        } else {
            None
        };
        state.remove_if_unused(&self.name);
        drop(state);
        wake(next);
    }
}

/// Wakes a waiter. The queues must be unlocked, because a waker may run any code.
fn wake(waiter: Option<Arc<Notify>>) {
    if let Some(changed) = waiter {
        changed.notify_one();
    }
}

#[cfg(test)]
mod tests;
