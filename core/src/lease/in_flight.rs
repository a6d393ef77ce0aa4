//! These rules say how many renewals of one lease are in progress, and when the next one is sent.

use std::time::Duration;

use super::RenewalWindow;
use crate::{Moment, Timing};

/// A renewal was requested and has no reply yet.
pub(crate) trait RequestedRenewal {
    /// Returns when the renewal was to be sent, before it was put off.
    fn planned(&self) -> Moment;

    /// Returns when the renewal was sent, or `None` if it was not sent yet.
    fn sent_at(&self) -> Option<Moment>;
}

/// Makes room for another renewal, which replaces one that was not sent yet. Returns the window in
/// which it is sent. The lease must be renewed by `renew_by`.
///
/// However slow the store is, at most one renewal more than the
/// [retries](crate::Settings::heartbeat_retries) is in progress, or three if that is more. If the
/// maximum is in progress, the new one replaces the second oldest of them. A slow store replies to
/// the oldest one next. The newer ones may wait for a connection that is being opened, and each of
/// them has the same time for that.
pub(crate) fn make_room<R: RequestedRenewal>(
    in_flight: &mut Vec<R>,
    window: RenewalWindow,
    timing: &Timing,
    renew_by: Moment,
) -> RenewalWindow {
    in_flight.retain(|it| it.sent_at().is_some());
    if in_flight.len() >= max_in_flight(timing) {
        in_flight.remove(1);
    }
    match in_flight.last().and_then(|it| Some((it.planned(), it.sent_at()?))) {
        Some(before) => after_late_one(window, before, renew_by, timing.retry_interval()),
        None => window,
    }
}

/// Returns the moment by which a lease must be renewed again. The reply to a request that was sent
/// at `sent` says that `left` is left of it, of which `reserved` is for stopping its holder.
pub(crate) fn last_renewal(sent: Moment, left: Duration, reserved: Duration) -> Moment {
    (sent + left).saturating_sub(reserved)
}

fn max_in_flight(timing: &Timing) -> usize {
    let retries = usize::try_from(timing.heartbeat_retries).unwrap_or(usize::MAX);
    retries.saturating_add(1).max(3)
}

/// Returns the window of the next renewal after one that was planned for one moment and sent at
/// another. If that was later, because others were ahead, that renewal still has the usual time for
/// its reply, so the next one is later too. Otherwise a store that is busy with many renewals would
/// get many of them twice.
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
