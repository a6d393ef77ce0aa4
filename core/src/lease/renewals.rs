//! The renewals of one lease that have no reply yet are tracked here.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::RenewalWindow;
use crate::engine::{Engine, PendingRenewal, RenewalHandle, TimedReply};
use crate::{Moment, RenewOptions, RenewOutcome, Timing};

/// These are the renewals of one lease that are in progress, and the next one, which was not sent
/// yet.
///
/// However slow the store is, at most one renewal more than the
/// [retries](crate::Settings::heartbeat_retries) is in progress, or three if that is more. Dropping
/// this value cancels the renewals that were not sent, and ignores the replies to the others.
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

    /// Returns the moment by which a lease must be renewed again of which that much time was left,
    /// by the reply to a request from that moment.
    pub(crate) fn last_renewal(sent: Moment, left: Duration, reserved: Duration) -> Moment {
        (sent + left).saturating_sub(reserved)
    }

    /// Requests another renewal, which replaces one that was not sent yet.
    ///
    /// If the maximum is in progress, it replaces the second oldest of them. A slow store replies
    /// to the oldest one next. The newer ones may wait for a connection that is being opened, and
    /// each of them has the same time for that.
    pub(crate) fn request(&mut self, window: RenewalWindow) {
        let renew_by = self.renew_by;
        self.in_flight.retain(PendingRenewal::is_sent);
        if self.in_flight.len() >= self.max_in_flight() {
            self.in_flight.remove(1);
        }
        let planned = window.latest;
        let before = self.in_flight.last();
        let window = match before.and_then(|it| Some((it.planned(), it.sent_at()?))) {
            Some(before) => after_late_one(window, before, renew_by, self.timing.retry_interval()),
            None => window,
        };
        let renewal = self.engine.heartbeat.renew(self.lease.clone(), window, renew_by);
        self.in_flight.push(renewal.planned_at(planned));
    }

    fn max_in_flight(&self) -> usize {
        let retries = usize::try_from(self.timing.heartbeat_retries).unwrap_or(usize::MAX);
        retries.saturating_add(1).max(3)
    }

    /// Returns the handle of the latest renewal without a reply.
    pub(crate) fn latest(&self) -> Option<RenewalHandle> {
        self.in_flight.last().map(PendingRenewal::handle)
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

    /// Does the same as [`next`](Self::next) for the task that polls this.
    pub(crate) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<(TimedReply<RenewOutcome>, bool)> {
        for at in 0..self.in_flight.len() {
            if let Poll::Ready(reply) = Pin::new(&mut self.in_flight[at]).poll(context) {
                self.in_flight.remove(at);
                if let Ok(RenewOutcome::Extended { left }) = &reply.outcome {
                    let next = Self::last_renewal(reply.sent, *left, self.reserved);
                    self.renew_by = self.renew_by.max(next);
                }
                return Poll::Ready((reply, self.is_in_flight()));
            }
        }
        Poll::Pending
    }
}

/// Returns the window of the next renewal after one that was planned for the first of two moments,
/// and sent at the second. If it was sent later than planned, because others were ahead, it has the
/// usual time for its reply, so the next one is later too. Otherwise a store that is busy with many
/// renewals would get many of them twice.
fn after_late_one(
    window: RenewalWindow,
    (planned, sent): (Moment, Moment),
    renew_by: Moment,
    retry_interval: Duration,
) -> RenewalWindow {
    let delay = sent.saturating_since(planned);
    let latest = (window.latest + delay)
        .min(sent + retry_interval)
        .min(renew_by.saturating_sub(retry_interval));
    let later = latest.saturating_since(window.latest);
    if later.is_zero() {
        return window;
    }
    RenewalWindow { earliest: latest, latest, retry_at: window.retry_at + later, ..window }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(millis))
    }

    /// Returns when the next renewal is sent at the latest, and when it is repeated.
    fn next(planned: u64, before: (u64, u64), renew_by: u64) -> (Moment, Moment) {
        let window = RenewalWindow {
            earliest: at(planned - 750),
            latest: at(planned),
            retry_at: at(planned + 1_500),
            useful_until: at(planned + 9_250),
        };
        let before = (at(before.0), at(before.1));
        let next = after_late_one(window, before, at(renew_by), Duration::from_millis(1_500));
        assert_eq!(next.useful_until, window.useful_until);
        assert_eq!(next.earliest, if next == window { window.earliest } else { next.latest });
        (next.latest, next.retry_at)
    }

    /// The second retry once came right after the first.
    #[test]
    fn each_retry_is_as_late_as_the_renewal_before_it() {
        assert_eq!(next(4_500, (3_000, 4_400), 14_250), (at(5_900), at(7_400)));
        assert_eq!(next(6_000, (4_500, 5_900), 14_250), (at(7_400), at(8_900)));
    }

    #[test]
    fn a_retry_is_not_later_than_its_interval_or_the_lease_allows() {
        assert_eq!(next(4_500, (3_000, 3_000), 14_250), (at(4_500), at(6_000)));
        assert_eq!(next(6_000, (3_000, 4_400), 14_250), (at(6_000), at(7_500)));
        assert_eq!(next(7_500, (6_000, 7_400), 9_250), (at(7_750), at(9_250)));
        assert_eq!(next(9_000, (7_500, 8_900), 9_250), (at(9_000), at(10_500)));
    }
}
