//! With a lock, one instance at a time runs a section of code.

mod guard;
mod held_lease;
mod held_state;
mod waiter;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Change, Engine, QueuePosition, Subscription, TimedReply, Turn};
use crate::lease::Reply;
use crate::lease::machine::{Event, Stage};
use crate::{AcquireOutcome, Error, ErrorKind, Holder, LockName, Result, Settings, Timing};

pub use guard::Guard;
use waiter::Waiter;

/// A lock is held by at most one instance at a time; a [`Client`](crate::Client) creates it by
/// name.
///
/// ```
/// use std::time::Duration;
/// use leasehold_core::{Client, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> leasehold_core::Result<()> {
/// let client = Client::new(MemoryStore::new())?;
/// let lock = client.lock("nightly-report")?;
///
/// let guard = lock.acquire(Duration::from_secs(30)).await?;
/// assert!(guard.is_held());
/// println!("working under token {}", guard.token());
/// guard.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Lock {
    engine: Arc<Engine>,
    name: LockName,
    timing: Arc<Timing>,
    /// The machines of this lock follow this timing, which is [without a job](Timing::without_job).
    without_job: Arc<Timing>,
}

impl Lock {
    /// Creates a lock. The client's locks share its timing, with and without a job.
    pub(crate) fn new(
        engine: Arc<Engine>,
        name: LockName,
        timing: Arc<Timing>,
        without_job: Arc<Timing>,
    ) -> Self {
        Self { engine, name, timing, without_job }
    }

    /// Returns this lock with other settings. A lock has no job to stop and starts without delay,
    /// so those two settings are only checked.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`] if the settings contradict each other or the store.
    pub fn settings(self, settings: &Settings) -> Result<Self> {
        let timing = settings.resolve(&self.engine.store.inner().capabilities())?;
        let without_job = Arc::new(timing.without_job());
        Ok(Self { timing: Arc::new(timing), without_job, ..self })
    }

    /// Returns the name of the lock.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.name
    }

    /// Tries to acquire the lock once. Returns `None` if it is held, by another instance or by a
    /// guard of this one, if it is disabled, or if the reply took too long for the lease to be
    /// used.
    ///
    /// It asks the store at once, and does not queue behind the tasks of this client that wait for
    /// the lock.
    ///
    /// # Errors
    /// This fails with the store's error. A lease that was granted despite the error is released.
    ///
    /// # Cancel safety
    /// A lease that is granted to a dropped call is released.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        let mut waiter = self.waiter();
        waiter.handle(Event::Tick);
        let reply = waiter.requests.next().await;
        if let Reply::Acquire { reply: TimedReply { outcome: Err(error), .. }, .. } = reply {
            return Err(error);
        }
        let granted = waiter.handle((&reply).into());
        Ok(granted.map(|granted| Guard::new(waiter, granted)))
    }

    /// Waits for the lock, at most for `limit`; with a limit of zero it tries once.
    ///
    /// The tasks of one client get the lock in the order in which their calls were first polled.
    /// Only the first of them asks the store. It tries again when the lease of the present holder
    /// should have expired, when the store hints at a change and at every
    /// [poll interval](Settings::poll_interval), also while the name is disabled. After a hint it
    /// tries again at once, or at a random moment within 5 ms if other clients were often faster.
    /// After a failure of the store it waits for at most a second, doubled at each further failure,
    /// and ignores hints. While a guard of this client holds the lock, the store is not asked; the
    /// first waiter asks as soon as the guard's release has ended, or its lease is lost.
    ///
    /// Clients are not served in turn. One whose tasks always wait keeps the lock among them for
    /// some time, a few seconds at most if the store pushes hints, and then lets others ask first. A
    /// task that releases and acquires in a loop while no other task of the client waits may starve
    /// other clients, so it should pause in between.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::TimedOut`], whose message names the present holder or the last
    /// error of the store. An error that waiting cannot resolve is returned at once.
    ///
    /// # Cancel safety
    /// A call that is dropped leaves the queue, and a lease that is granted to it is released. A
    /// call that is neither polled nor dropped holds up the calls behind it.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn acquire(&self, limit: Duration) -> Result<Guard> {
        let store = &self.engine.store;
        let wait = store.metrics().start_wait(&**store.clock());
        let acquired = self.acquire_within(limit).await;
        wait.finish(&acquired);
        acquired
    }

    async fn acquire_within(&self, limit: Duration) -> Result<Guard> {
        if limit.is_zero() {
            // A deadline would cut the one attempt off before it has a reply.
            let guard = self.try_acquire().await?;
            return guard.ok_or_else(|| self.timed_out(limit, "the lock is held or disabled"));
        }
        let (clock, dispatcher) = (self.engine.store.clock(), &self.engine.hint_dispatcher);
        // One deadline limits everything, including a call that hangs.
        let mut expired = clock.sleep_until(clock.now() + limit);
        let position = self.engine.local_queues.join(self.name.clone());
        let mut waiter = self.waiter();
        let (mut hints, mut asked) = (None, dispatcher.position());
        if matches!(position.turn(), Turn::Ask) {
            waiter.handle(Event::Tick);
        }
        loop {
            let turn = position.turn();
            // A request in progress continues, even if a guard of this client has the lock now.
            let asks = matches!(turn, Turn::Ask) || waiter.machine.stage() != Stage::Idle;
            let next_tick = waiter.machine.next_tick().filter(|_| asks);
            let tick = waiter.timer.sleep(next_tick, &self.engine);
            let hint_due = waiter.hint_spread.due().filter(|_| asks);
            let (event, reply): (Event, Option<Reply>) = tokio::select! {
                biased;
                reply = waiter.requests.next() => ((&reply).into(), Some(reply)),
                () = &mut expired => return Err(self.timed_out(limit, &self.last_known(&position))),
                // The name may be free, though the store has given no hint yet.
                () = position.changed() => (Event::Hint, None),
                () = self.turn_ended(&turn) => (Event::Hint, None),
                () = self.engine.sleep_until(hint_due) => {
                    waiter.hint_spread.pass_on();
                    (Event::Hint, None)
                }
                change = next_change(hints.as_ref()), if asks => {
                    let Some(event) = waiter.event_of(change, position.hint_spread()) else {
                        continue;
                    };
                    (event, None)
                }
                () = tick => (Event::Tick, None),
            };
            if reply.is_none() && waiter.machine.stage() == Stage::Idle {
                if !matches!(position.turn(), Turn::Ask) {
                    continue;
                }
                if hints.is_none() {
                    asked = dispatcher.position();
                }
            }
            if let Some(Reply::Acquire { reply: TimedReply { outcome, .. }, .. }) = &reply {
                position.record_reply(outcome, waiter.hint_spread.was_race());
            }
            if let Some(granted) = waiter.handle(event) {
                return Ok(Guard::new(waiter, granted));
            }
            if let Some(Reply::Acquire { reply: TimedReply { outcome, .. }, .. }) = &reply {
                position.record_outcome(describe_outcome(outcome)?);
                // Most locks are granted at once and need no hints.
                hints.get_or_insert_with(|| dispatcher.subscribe_since(self.name.clone(), asked));
            }
        }
    }

    /// Waits until the turn ends by itself: a guard of the client has lost the lock, or a pause is
    /// over. The waiters ahead and a guard that is released change the turn.
    async fn turn_ended(&self, turn: &Turn) {
        match turn {
            Turn::HeldHere(trust) => drop(trust.lost().await),
            Turn::Paused(until) => self.engine.store.clock().sleep_until(*until).await,
            Turn::Ask | Turn::Queued => pending().await,
        }
    }

    /// Describes why the lock was not acquired, by what the client's waiters know.
    fn last_known(&self, position: &QueuePosition) -> String {
        match position.last_known() {
            (Some(trust), _) => describe_held(&self.engine.holder, trust.remaining()),
            (None, Some(outcome)) => outcome.to_string(),
            (None, None) => "the store did not reply".to_owned(),
        }
    }

    fn waiter(&self) -> Waiter {
        let (timing, without_job) = (self.timing.clone(), self.without_job.clone());
        Waiter::new(self.engine.clone(), self.name.clone(), timing, without_job)
    }

    fn timed_out(&self, limit: Duration, last: &str) -> Error {
        Error::new(ErrorKind::TimedOut, format!("timed out after {limit:?}: {last}"))
            .during("acquire")
            .for_lock(&self.name)
            .on_store(self.engine.store.inner().label())
    }
}

/// Waits for the next change of a name; it stays pending without a subscription.
async fn next_change(hints: Option<&Subscription>) -> Change {
    match hints {
        Some(hints) => hints.changed().await,
        None => pending().await,
    }
}

/// Describes a reply that did not end the wait, for the message of a timeout.
///
/// # Errors
/// This fails with the store's error if waiting cannot resolve it.
fn describe_outcome(outcome: &Result<AcquireOutcome>) -> Result<String> {
    match outcome {
        Ok(AcquireOutcome::Granted(_)) => Ok("the grant arrived too late to be used".to_owned()),
        Ok(AcquireOutcome::Held(held)) => Ok(describe_held(&held.holder, held.left)),
        Ok(AcquireOutcome::Disabled(disabled)) => {
            Ok(format!("the lock is disabled: {}", disabled.reason))
        }
        Err(error) if error.is_transient() => Ok(error.to_string()),
        Err(error) => Err(error.clone()),
    }
}

fn describe_held(holder: &Holder, left: Duration) -> String {
    format!("held by {holder} for another {left:.1?}")
}
