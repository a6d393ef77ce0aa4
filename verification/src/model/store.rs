//! This module defines the store as the contract describes it, for one name.

use super::mutation::Mutation;
use super::units::TTL;

/// This is the id of an attempt, with its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId {
    /// This instance made the attempt, and owns it until it has released the lease as far as it
    /// can, or has crashed or left.
    pub owner: Option<usize>,
    /// This number distinguishes it from other ids that are still known.
    pub number: u8,
}

/// This is the record of the name in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ModelStore {
    /// This is the latest lease, in force while `left` is not 0.
    pub lease: Option<ModelLease>,
    /// This is the token of the latest grant, as a rank among all tokens that are still known.
    pub token: u8,
    /// This is true while the name is disabled.
    pub disabled: bool,
    /// This is the time that is left of the lease that was in force when the name was disabled.
    pub ending_deadline: u8,
    /// This is true if a lease that had expired is in force again.
    pub revived: bool,
}

/// This is a lease of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelLease {
    /// This is the id of the attempt that was granted it.
    pub id: LeaseId,
    /// This many units of time are left.
    pub left: u8,
    /// This is true if its holder must stop.
    pub ending: bool,
}

/// This is a call of an instance to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelCall {
    /// The instance requests the lease.
    Acquire,
    /// The instance requests to extend the lease.
    Renew,
    /// The instance releases the lease.
    Release,
}

/// This is a reply of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reply {
    /// An acquire was granted.
    Granted {
        /// This is the fencing token of the grant.
        token: u8,
        /// This many units of time are left.
        left: u8,
    },
    /// An acquire was refused because the name is held.
    Held {
        /// This is true if the instance that asks is itself the holder.
        by_itself: bool,
        /// This many units of time are left.
        left: u8,
    },
    /// An acquire or a renewal was refused because the name is disabled.
    Disabled,
    /// A renewal extended the lease.
    Extended,
    /// A renewal found that the lease is lost.
    Lost,
    /// A release was carried out.
    Released,
}

impl ModelStore {
    /// Returns the lease in force.
    pub fn live(&self) -> Option<&ModelLease> {
        self.lease.as_ref().filter(|lease| lease.left > 0)
    }

    /// Answers a call. Also returns whether watchers get a hint.
    pub(super) fn answer(
        &mut self,
        call: ModelCall,
        id: LeaseId,
        mutation: Option<Mutation>,
    ) -> (Reply, bool) {
        match call {
            ModelCall::Acquire => (self.acquire(id), false),
            ModelCall::Renew => (self.renew(id, mutation), false),
            ModelCall::Release => {
                let held = self.live().is_some_and(|lease| lease.id == id);
                if held {
                    self.lease = None;
                }
                (Reply::Released, held)
            }
        }
    }

    fn acquire(&mut self, id: LeaseId) -> Reply {
        if self.disabled {
            return Reply::Disabled;
        }
        match self.live() {
            Some(lease) if lease.id == id => Reply::Granted { token: self.token, left: lease.left },
            Some(lease) => {
                let by_itself = id.owner.is_some() && lease.id.owner == id.owner;
                Reply::Held { by_itself, left: lease.left }
            }
            None => {
                self.token += 1;
                self.lease = Some(ModelLease { id, left: TTL, ending: false });
                Reply::Granted { token: self.token, left: TTL }
            }
        }
    }

    fn renew(&mut self, id: LeaseId, mutation: Option<Mutation>) -> Reply {
        let mine = self.lease.as_ref().filter(|lease| lease.id == id);
        let live = mine.is_some_and(|lease| lease.left > 0);
        let found = match mutation {
            Some(Mutation::RevivedLease) => mine.is_some(),
            Some(Mutation::UpsertedRenewal) => true,
            _ => live,
        };
        if !found {
            return Reply::Lost;
        }
        let ending = mine.is_some_and(|lease| lease.ending);
        if ending && mutation != Some(Mutation::RenewedThoughDisabled) {
            return Reply::Disabled;
        }
        self.revived |= !live;
        self.lease = Some(ModelLease { id, left: TTL, ending });
        Reply::Extended
    }

    pub(super) fn disable(&mut self) {
        self.ending_deadline = self.live().map_or(0, |lease| lease.left);
        self.disabled = true;
        if let Some(lease) = self.lease.as_mut().filter(|lease| lease.left > 0) {
            lease.ending = true;
        }
    }

    pub(super) fn advance(&mut self) {
        self.ending_deadline = self.ending_deadline.saturating_sub(1);
        if let Some(lease) = &mut self.lease {
            lease.left = lease.left.saturating_sub(1);
        }
    }
}
