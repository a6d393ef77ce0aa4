//! What locks and elections of one client share: calls with a time limit, one heartbeat, one watch.

mod calls;
mod claim;
mod heartbeat;
mod hold;
mod hub;
mod trust;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use calls::{Answer, Calls};
pub(crate) use claim::Claim;
pub(crate) use heartbeat::Heartbeat;
pub use hold::{Beat, Hold};
pub(crate) use hub::{Hub, Subscription};
pub use trust::Loss;
pub(crate) use trust::Trust;

use uuid::Uuid;

use crate::{Clock, Holder, LeaseId, LockStore, Moment};

/// The shared parts of one client.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) calls: Calls,
    pub(crate) holder: Holder,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) hub: Arc<Hub>,
    random: Mutex<fastrand::Rng>,
    /// Lease ids are random like the rest, so that a simulation can be repeated.
    repeatable: bool,
}

impl Engine {
    pub(crate) fn new(
        store: Arc<dyn LockStore>,
        clock: Arc<dyn Clock>,
        holder: Holder,
        seed: Option<u64>,
        repeatable: bool,
    ) -> Self {
        let calls = Calls::new(store.clone(), clock);
        Self {
            heartbeat: Heartbeat::new(calls.clone()),
            hub: Arc::new(Hub::new(store)),
            calls,
            holder,
            random: Mutex::new(seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)),
            repeatable,
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.calls.clock().now()
    }

    /// A random part of `spread`, to keep instances from acting at the same moment.
    pub(crate) fn jitter(&self, spread: Duration) -> Duration {
        spread.mul_f64(self.random().f64())
    }

    /// The id of a new attempt.
    pub(crate) fn lease_id(&self) -> LeaseId {
        if self.repeatable {
            LeaseId::from_uuid(Uuid::from_u128(self.random().u128(..)))
        } else {
            LeaseId::new()
        }
    }

    fn random(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
