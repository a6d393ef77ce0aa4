//! The memory store keeps the instances that announced themselves.

use std::collections::BTreeMap;

use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use crate::{InstanceRecord, Moment, Presence};

#[derive(Debug, Default)]
pub(super) struct Instances {
    /// Each presence has the moment at which it expires.
    known: Mutex<BTreeMap<Uuid, (Presence, Moment)>>,
}

impl Instances {
    pub(super) fn announce(&self, presence: &Presence, until: Moment, now: Moment) {
        self.live(now).insert(presence.holder.instance, (presence.clone(), until));
    }

    pub(super) fn withdraw(&self, instance: Uuid, now: Moment) {
        self.live(now).remove(&instance);
    }

    pub(super) fn records(&self, now: Moment) -> Vec<InstanceRecord> {
        let record = |(presence, until): &(Presence, Moment)| InstanceRecord {
            presence: presence.clone(),
            left: until.saturating_since(now),
        };
        self.live(now).values().map(record).collect()
    }

    /// Locks the instances, after removing the expired ones.
    fn live(&self, now: Moment) -> MutexGuard<'_, BTreeMap<Uuid, (Presence, Moment)>> {
        let mut known = self.known.lock();
        known.retain(|_, (_, until)| now < *until);
        known
    }
}
