//! The locks and elections of one client share an engine: calls with a time limit, one heartbeat,
//! one watch, and a local queue of waiters per lock.

mod announcer;
mod background;
mod bounded_store;
mod heartbeat;
mod hint_dispatcher;
mod local_queue;
mod outages;
mod random;
mod renewal_batch;
mod renewal_pace;
mod renewal_queue;
mod renewed_lease;
mod sent_batch;
mod subscribers;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use announcer::{Candidacy, PresenceAnnouncer};
pub(crate) use background::BackgroundRuntime;
pub use background::background_runtime;
pub(crate) use bounded_store::{BoundedStore, TimedReply};
pub(crate) use heartbeat::{Heartbeat, PendingRenewal};
pub(crate) use hint_dispatcher::{HintDispatcher, Subscription};
pub(crate) use local_queue::{LocalHolder, LocalQueues, QueuePosition, Turn};
pub(crate) use outages::Outages;
pub(crate) use random::SeededRandom;
pub(crate) use renewal_queue::{RenewalKey, RenewalQueue};
pub(crate) use renewed_lease::{RenewedLease, TickKey};
pub(crate) use sent_batch::{AwaitedReply, SentBatch};
pub(crate) use subscribers::Change;

use uuid::Uuid;

use crate::{
    Clock, Error, ErrorKind, Holder, LeaseId, LockKind, LockName, LockStore, Moment, Result, Timing,
};

/// An engine has the parts that the locks and elections of one client share.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) store: BoundedStore,
    pub(crate) holder: Holder,
    pub(crate) background: Arc<BackgroundRuntime>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) hint_dispatcher: Arc<HintDispatcher>,
    /// The calls for exclusive locks wait here.
    exclusive_queues: Arc<LocalQueues>,
    /// The calls for locks that have a queue in the store wait here until they enter it.
    entry_queues: Arc<LocalQueues>,
    pub(crate) announcer: Arc<PresenceAnnouncer>,
    random: Arc<SeededRandom>,
    /// If this is true, the seed determines lease ids too, so that a simulation can be repeated.
    deterministic: bool,
}

/// These options configure an engine.
#[derive(Debug)]
pub(crate) struct EngineOptions {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) holder: Holder,
    pub(crate) timing: Timing,
    pub(crate) seed: Option<u64>,
    pub(crate) deterministic: bool,
    /// If this is true, the store is watched for hints.
    pub(crate) hints: bool,
}

impl Engine {
    pub(crate) fn new(store: Arc<dyn LockStore>, options: EngineOptions) -> Self {
        let EngineOptions { clock, holder, timing, seed, deterministic, hints } = options;
        let background = Arc::new(BackgroundRuntime::new(clock.is_real_time()));
        let random = Arc::new(SeededRandom::new(seed));
        let store = BoundedStore::new(store, clock);
        let dispatcher =
            HintDispatcher::new(store.clone(), background.clone(), random.clone(), hints);
        let wake = store.inner().capabilities().wake;
        let [exclusive_queues, entry_queues] =
            [(); 2].map(|()| Arc::new(LocalQueues::new(store.clock().clone(), wake)));
        let announcer =
            PresenceAnnouncer::new(store.clone(), background.clone(), holder.clone(), &timing);
        Self {
            heartbeat: Heartbeat::new(store.clone(), background.clone()),
            hint_dispatcher: Arc::new(dispatcher),
            exclusive_queues,
            entry_queues,
            announcer: Arc::new(announcer),
            store,
            holder,
            background,
            random,
            deterministic,
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.store.clock().now()
    }

    /// Returns the queues of this client's own calls, for exclusive locks or for those that have a
    /// queue in the store.
    pub(crate) fn local_queues(&self, of_entries: bool) -> &Arc<LocalQueues> {
        if of_entries { &self.entry_queues } else { &self.exclusive_queues }
    }

    /// Checks that the store has queues, which a lock of that kind needs.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Unsupported`] otherwise.
    pub(crate) fn check_queues(&self, kind: LockKind, name: &LockName) -> Result<()> {
        if self.store.inner().capabilities().queues {
            return Ok(());
        }
        let message = format!("{kind} needs a queue, which the store does not support");
        Err(Error::new(ErrorKind::Unsupported, message)
            .for_lock(name)
            .on_store(self.store.label())
            .with_fix("use an exclusive lock, or another store"))
    }

    /// Returns a random duration of up to `spread`, so that instances do not act at the same time.
    pub(crate) fn jitter(&self, spread: Duration) -> Duration {
        self.random.up_to(spread)
    }

    /// Waits until that moment, or forever without one.
    pub(crate) async fn sleep_until(&self, moment: Option<Moment>) {
        match moment {
            Some(moment) => self.store.clock().sleep_until(moment).await,
            None => pending().await,
        }
    }

    /// Returns the id of a new attempt.
    pub(crate) fn lease_id(&self) -> LeaseId {
        if self.deterministic {
            LeaseId::from_uuid(Uuid::from_u128(self.random.number()))
        } else {
            LeaseId::new()
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Its task keeps the store, and perhaps a connection, until it ends.
        self.hint_dispatcher.close();
    }
}
