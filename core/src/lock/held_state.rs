//! The state of a held lease while it is renewed: its machine, and the renewals without a reply.

use std::num::NonZeroU64;

use crate::Moment;
use crate::engine::{AwaitedReply, RenewalKey, TickKey};
use crate::lease::{Machine, RequestedRenewal};

/// The state of a lease while it is held.
pub(super) struct HeldState {
    pub(super) machine: Machine,
    /// The lease must be renewed by this moment, or its holder has to stop.
    pub(super) renew_by: Moment,
    /// These renewals have no reply yet. The last one may not be sent yet.
    pub(super) in_flight: Vec<LeaseRenewal>,
    /// The latest renewal has this number.
    pub(super) latest: u64,
    /// The lease gets its next tick at this moment.
    pub(super) tick: Option<Moment>,
    /// The subscription to hints has this number. Numbers begin with 1.
    pub(super) subscription: Option<NonZeroU64>,
}

/// A renewal was requested and has no reply yet.
pub(super) struct LeaseRenewal {
    /// The renewal was to be sent at this moment, before it was put off.
    pub(super) planned: Moment,
    pub(super) key: RenewalKey,
    /// This is set once the renewal was sent.
    pub(super) sent: Option<AwaitedReply>,
}

impl HeldState {
    /// Creates the state of a lease that must be renewed by `renew_by`, and of which no renewal was
    /// requested yet.
    pub(super) fn new(machine: Machine, renew_by: Moment) -> Self {
        // Mostly one renewal at a time has no reply.
        let in_flight = Vec::with_capacity(1);
        Self { machine, renew_by, in_flight, latest: 0, tick: None, subscription: None }
    }

    /// Returns when the machine needs its next tick. That of a held lease has no jitter.
    pub(super) fn next_tick(&self) -> Option<Moment> {
        self.machine.next_tick().map(|next| next.at)
    }

    /// Returns the key of the tick that the lease gets next.
    pub(super) fn tick_key(&self) -> Option<TickKey> {
        self.tick.map(|at| (at, self.latest))
    }

    /// Returns the key of the renewal that was not sent yet.
    pub(super) fn queued(&self) -> Option<RenewalKey> {
        self.in_flight.last().filter(|renewal| renewal.sent.is_none()).map(|renewal| renewal.key)
    }

    /// Returns whether a renewal was sent and has no reply yet.
    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight.iter().any(|renewal| renewal.sent.is_some())
    }

    /// Returns the renewal of that number, unless it was replaced.
    pub(super) fn renewal(&mut self, number: u64) -> Option<&mut LeaseRenewal> {
        self.in_flight.iter_mut().find(|renewal| renewal.key.number() == number)
    }

    /// Removes the renewal of that number, whose reply has come. Returns `None` if it was replaced.
    pub(super) fn take_renewal(&mut self, number: u64) -> Option<LeaseRenewal> {
        let at = self.in_flight.iter().position(|renewal| renewal.key.number() == number)?;
        Some(self.in_flight.remove(at))
    }
}

impl RequestedRenewal for LeaseRenewal {
    fn planned(&self) -> Moment {
        self.planned
    }

    fn sent_at(&self) -> Option<Moment> {
        self.sent.as_ref().map(AwaitedReply::sent_at)
    }
}
