//! The store as the contract has it, for one name.

use super::mutation::Mutation;
use super::units::TTL;

/// The id of an attempt, by whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId {
    /// The instance that asked for it; none once it was given back, as far as that goes, or its
    /// instance is gone.
    pub owner: Option<usize>,
    /// Told apart from others that are still known.
    pub number: u8,
}

/// What the store keeps of the name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ModelStore {
    /// The latest lease, in force while `left` of it is left.
    pub lease: Option<ModelLease>,
    /// The token of the latest grant, as a rank among all tokens that are still known.
    pub token: u8,
    /// Whether the name is disabled.
    pub disabled: bool,
    /// What is left of the lease that was in force when the name was disabled.
    pub ending_deadline: u8,
    /// A lease that was over is in force again.
    pub revived: bool,
}

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelLease {
    /// Whose.
    pub id: LeaseId,
    /// Units of time.
    pub left: u8,
    /// Its holder is to stop.
    pub ending: bool,
}

/// What an instance asks of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelCall {
    /// For the lease.
    Acquire,
    /// For more of it.
    Renew,
    /// To apply it back.
    Release,
}

/// What the store answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reply {
    /// To an acquire.
    Granted {
        /// Of this grant.
        token: u8,
        /// Units of time.
        left: u8,
    },
    /// To an acquire.
    Held {
        /// By the very instance that asks.
        by_itself: bool,
        /// Units of time.
        left: u8,
    },
    /// To an acquire or a renewal.
    Disabled,
    /// To a renewal.
    Extended,
    /// To a renewal.
    Lost,
    /// To a release.
    Released,
}

impl ModelStore {
    /// The lease in force.
    pub fn live(&self) -> Option<&ModelLease> {
        self.lease.as_ref().filter(|lease| lease.left > 0)
    }

    /// Answers a call; also whether watchers are told.
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
