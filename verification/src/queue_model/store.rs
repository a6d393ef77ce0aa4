//! This module defines the store's data, and its calls and replies.

use leasehold_core::LeaseId as StoreLeaseId;
use uuid::Uuid;

use crate::model::LeaseId;

/// This is the record of the name in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct QueueStore {
    /// These are the entries, in the order of arrival.
    pub entries: Vec<StoredEntry>,
    /// This is the token of the latest entry, as a rank among all tokens that are still known.
    pub token: u8,
}

/// This is an entry of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoredEntry {
    /// This is the id of the attempt that made it.
    pub id: LeaseId,
    /// It needs this much of the capacity.
    pub weight: u32,
    /// This is its fencing token, as a rank.
    pub token: u8,
    /// This many units of time are left. The entry is live while this is not 0.
    pub left: u8,
}

impl StoredEntry {
    /// Returns whether it has not expired.
    pub fn is_live(&self) -> bool {
        self.left > 0
    }
}

/// This is a call of an instance to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// The instance enters the queue with an entry of that weight.
    Enter(u32),
    /// The instance renews its entry.
    Renew,
    /// The instance leaves the queue.
    Leave,
}

/// This is a reply of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reply {
    /// The entry holds the lock.
    Holds {
        /// This many units of time are left.
        left: u8,
    },
    /// The entry waits.
    Waits {
        /// This many units of time are left.
        left: u8,
        /// No entry ahead expires before this many units have passed.
        recheck: u8,
    },
    /// A renewal found no live entry.
    Lost,
    /// The entry has left.
    Left,
    /// The call was refused.
    Failed,
}

impl QueueStore {
    /// Returns the live entries, in the order of arrival.
    pub fn live(&self) -> impl Iterator<Item = &StoredEntry> {
        self.entries.iter().filter(|entry| entry.is_live())
    }

    pub(super) fn advance(&mut self) {
        for entry in &mut self.entries {
            entry.left = entry.left.saturating_sub(1);
        }
    }
}

/// Returns the lease id that stands for an id of the model.
pub(super) fn store_id(id: LeaseId) -> StoreLeaseId {
    let owner = id.owner.map_or(0, |owner| owner as u128 + 1);
    StoreLeaseId::from_uuid(Uuid::from_u128((owner << 8) + u128::from(id.number) + 1))
}
