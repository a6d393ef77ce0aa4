//! What locks and elections of one client share: calls with a time limit, one heartbeat, one watch.

mod announcer;
mod background;
mod bounded_store;
mod heartbeat;
mod hint_dispatcher;
mod outages;
mod random;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use announcer::{Announcer, Campaign};
pub(crate) use background::Background;
pub(crate) use bounded_store::{BoundedStore, TimedReply};
pub(crate) use heartbeat::{Heartbeat, Renewing};
pub(crate) use hint_dispatcher::{HintDispatcher, Subscription};
pub(crate) use outages::Outages;
pub(crate) use random::Random;

use uuid::Uuid;

use crate::{Clock, Holder, LeaseId, LockStore, Moment, Timing};

/// The shared parts of one client.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) store: BoundedStore,
    pub(crate) holder: Holder,
    pub(crate) background: Arc<Background>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) hub: Arc<HintDispatcher>,
    pub(crate) announcer: Arc<Announcer>,
    random: Arc<Random>,
    /// Lease ids are random like the rest, so that a simulation can be repeated.
    repeatable: bool,
}

/// The parts that make up an engine, besides its store.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) holder: Holder,
    pub(crate) timing: Timing,
    pub(crate) seed: Option<u64>,
    pub(crate) repeatable: bool,
    /// If this is true, the store is watched for hints.
    pub(crate) hints: bool,
}

impl Engine {
    pub(crate) fn new(store: Arc<dyn LockStore>, parts: Parts) -> Self {
        let Parts { clock, holder, timing, seed, repeatable, hints } = parts;
        let background = Arc::new(Background::new(clock.is_real_time()));
        let random = Arc::new(Random::new(seed));
        let store = BoundedStore::new(store, clock);
        let hub = HintDispatcher::new(store.clone(), background.clone(), random.clone(), hints);
        let announcer = Announcer::new(store.clone(), background.clone(), holder.clone(), &timing);
        Self {
            heartbeat: Heartbeat::new(store.clone(), background.clone()),
            hub: Arc::new(hub),
            announcer: Arc::new(announcer),
            store,
            holder,
            background,
            random,
            repeatable,
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.store.clock().now()
    }

    /// A random part of `spread`, to keep instances from acting at the same moment.
    pub(crate) fn jitter(&self, spread: Duration) -> Duration {
        self.random.part_of(spread)
    }

    /// The id of a new attempt.
    pub(crate) fn lease_id(&self) -> LeaseId {
        if self.repeatable {
            LeaseId::from_uuid(Uuid::from_u128(self.random.number()))
        } else {
            LeaseId::new()
        }
    }
}
