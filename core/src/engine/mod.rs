//! What locks and elections of one client share: calls with a time limit, one heartbeat, one watch.

mod announcer;
mod background;
mod calls;
mod claim;
mod heartbeat;
mod hold;
mod hub;
mod outages;
mod renewal_plan;
mod renewals;
mod trust;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use announcer::{Announcer, Campaign};
pub(crate) use background::Background;
pub(crate) use calls::{Answer, Calls};
pub(crate) use claim::Claim;
pub(crate) use heartbeat::{Heartbeat, Renewing};
pub use hold::{Beat, Hold};
pub(crate) use hub::{Hub, Subscription};
pub(crate) use outages::Outages;
pub(crate) use renewal_plan::{Next, RenewalPlan};
pub(crate) use renewals::Renewals;
pub use trust::Loss;
pub(crate) use trust::Trust;

use uuid::Uuid;

use crate::{Clock, Holder, LeaseId, LockStore, Moment, Timing};

/// The shared parts of one client.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) calls: Calls,
    pub(crate) holder: Holder,
    pub(crate) background: Arc<Background>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) hub: Arc<Hub>,
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
        let calls = Calls::new(store, clock);
        let hub = Hub::new(calls.clone(), background.clone(), random.clone(), hints);
        let announcer = Announcer::new(calls.clone(), background.clone(), holder.clone(), &timing);
        Self {
            heartbeat: Heartbeat::new(calls.clone(), background.clone()),
            hub: Arc::new(hub),
            announcer: Arc::new(announcer),
            calls,
            holder,
            background,
            random,
            repeatable,
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.calls.clock().now()
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

/// The source of a client's random numbers.
#[derive(Debug)]
pub(crate) struct Random(Mutex<fastrand::Rng>);

impl Random {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(Mutex::new(seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)))
    }

    pub(crate) fn part_of(&self, spread: Duration) -> Duration {
        spread.mul_f64(self.rng().f64())
    }

    fn number(&self) -> u128 {
        self.rng().u128(..)
    }

    fn rng(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
