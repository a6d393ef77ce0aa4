//! The renewals of one lease that were asked for and are unanswered.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use super::RenewalWindow;
use crate::engine::{Engine, PendingRenewal, TimedReply};
use crate::{RenewOptions, RenewOutcome, Timing};

/// The renewals of one lease: those under way, and the next one, which was not sent yet.
///
/// However slow the store is, at most one renewal more than the
/// [retries](crate::Settings::heartbeat_retries) is under way, and three at the least. Dropping
/// this value cancels what was not sent, and ignores the answers to the rest.
#[derive(Debug)]
pub(crate) struct InFlightRenewals {
    engine: Arc<Engine>,
    lease: RenewOptions,
    max_in_flight: usize,
    in_flight: Vec<PendingRenewal>,
}

impl InFlightRenewals {
    pub(crate) fn new(engine: Arc<Engine>, lease: RenewOptions, timing: &Timing) -> Self {
        let retries = usize::try_from(timing.heartbeat_retries).unwrap_or(usize::MAX);
        Self {
            engine,
            lease,
            max_in_flight: retries.saturating_add(1).max(3),
            in_flight: Vec::new(),
        }
    }

    /// Asks for another renewal, which replaces one that was not sent yet.
    ///
    /// If as many are under way as there may be, it replaces the second oldest of them. A slow
    /// store answers the oldest next. The newer ones may wait on a connection that was opened for
    /// them, and each of them has the same time for that.
    pub(crate) fn request(&mut self, window: RenewalWindow) {
        self.in_flight.retain(PendingRenewal::is_sent);
        if self.in_flight.len() >= self.max_in_flight {
            self.in_flight.remove(1);
        }
        self.in_flight.push(self.engine.heartbeat.renew(self.lease.clone(), window));
    }

    /// Returns whether a renewal was sent and is unanswered.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight.iter().any(PendingRenewal::is_sent)
    }

    /// Waits for the next answer; it stays pending while no renewal was asked for.
    ///
    /// # Cancel safety
    /// Dropping the future loses no answer.
    pub(crate) async fn next(&mut self) -> TimedReply<RenewOutcome> {
        poll_fn(|context| {
            for at in 0..self.in_flight.len() {
                if let Poll::Ready(answer) = Pin::new(&mut self.in_flight[at]).poll(context) {
                    self.in_flight.remove(at);
                    return Poll::Ready(answer);
                }
            }
            Poll::Pending
        })
        .await
    }
}
