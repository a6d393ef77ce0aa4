//! The renewals of a term's lease, or of an entry that waits, that have no reply yet are tracked
//! here.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::RenewalWindow;
use super::in_flight::{RequestedRenewal, last_renewal, make_room};
use crate::engine::{Engine, PendingRenewal, TimedReply};
use crate::{Moment, RenewOptions, RenewOutcome, Timing};

/// These are the renewals of a term's lease, or of an entry that waits, that are in progress, and
/// the next one, which was not sent yet.
///
/// Dropping this value cancels the renewals that were not sent, and ignores the replies to the
/// others.
#[derive(Debug)]
pub(crate) struct InFlightRenewals {
    engine: Arc<Engine>,
    lease: RenewOptions,
    timing: Arc<Timing>,
    /// This much of the lease is for stopping its holder.
    reserved: Duration,
    /// The lease must be renewed by this moment, or its holder has to stop.
    renew_by: Moment,
    in_flight: Vec<PendingRenewal>,
}

impl InFlightRenewals {
    /// Creates the renewals of a lease that must be renewed by `renew_by`, of which `reserved` is
    /// for stopping its holder.
    pub(crate) fn new(
        engine: Arc<Engine>,
        lease: RenewOptions,
        timing: Arc<Timing>,
        reserved: Duration,
        renew_by: Moment,
    ) -> Self {
        // There is mostly one.
        let in_flight = Vec::with_capacity(1);
        Self { engine, lease, timing, reserved, renew_by, in_flight }
    }

    /// Requests another renewal, for which [`make_room`] makes room.
    pub(crate) fn request(&mut self, window: RenewalWindow) {
        let (planned, renew_by) = (window.latest, self.renew_by);
        let window = make_room(&mut self.in_flight, window, &self.timing, renew_by);
        let renewal = self.engine.heartbeat.renew(self.lease.clone(), window, renew_by);
        self.in_flight.push(renewal.planned_at(planned));
    }

    /// Returns the moment by which the lease must be renewed.
    pub(crate) fn renew_by(&self) -> Moment {
        self.renew_by
    }

    /// Returns whether a renewal was sent and has no reply yet.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight.iter().any(PendingRenewal::is_sent)
    }

    /// Waits for the next reply, and returns it and whether another renewal was sent and has no
    /// reply yet; it stays pending while no renewal was requested.
    ///
    /// # Cancel safety
    /// Dropping the future loses no reply.
    pub(crate) async fn next(&mut self) -> (TimedReply<RenewOutcome>, bool) {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<(TimedReply<RenewOutcome>, bool)> {
        for at in 0..self.in_flight.len() {
            if let Poll::Ready(reply) = Pin::new(&mut self.in_flight[at]).poll(context) {
                self.in_flight.remove(at);
                if let Ok(RenewOutcome::Extended { left, .. } | RenewOutcome::Queued { left, .. }) =
                    &reply.outcome
                {
                    let next = last_renewal(reply.sent, *left, self.reserved);
                    self.renew_by = self.renew_by.max(next);
                }
                return Poll::Ready((reply, self.is_in_flight()));
            }
        }
        Poll::Pending
    }
}

impl RequestedRenewal for PendingRenewal {
    fn planned(&self) -> Moment {
        self.planned()
    }

    fn sent_at(&self) -> Option<Moment> {
        self.sent_at()
    }
}
