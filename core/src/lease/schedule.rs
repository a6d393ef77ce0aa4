//! The schedule of a lease says when its heartbeats are due and until when it may be trusted. It is
//! pure.

use std::sync::Arc;
use std::time::Duration;

use crate::{Moment, Timing};

/// A lease schedule has the rules by which a holder renews and trusts its lease, without a clock or
/// I/O.
///
/// The trust deadline is `moment before the request was sent + duration left by the store's reply
/// − margin`: the store decided after the request was sent, so its lease ends later than that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseSchedule {
    timing: Arc<Timing>,
    /// The latest successful request was sent at this moment.
    confirmed: Moment,
    /// The next heartbeat may be sent this much earlier than it is due.
    early: Duration,
    deadline: Moment,
    /// This counts the heartbeats that failed since then.
    failures: u32,
    /// The latest heartbeat was due at this moment; retries are counted from it.
    due: Moment,
}

/// A renewal window says when a heartbeat is sent, and how long to wait for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RenewalWindow {
    /// The heartbeat may be sent from this moment on, to share a batch with others.
    pub earliest: Moment,
    /// The heartbeat is sent at this moment at the latest.
    pub latest: Moment,
    /// If no reply has come by this moment, a retry is sent, and this heartbeat continues.
    pub retry_at: Moment,
    /// A reply is useful until this moment. If no other heartbeat succeeded, the leader has stepped
    /// down by then.
    pub useful_until: Moment,
}

impl RenewalWindow {
    /// Returns the same window with every moment earlier by that duration, or at the clock's
    /// origin, for a model checker.
    #[must_use]
    pub fn shifted_back(&self, by: Duration) -> Self {
        Self {
            earliest: self.earliest.saturating_sub(by),
            latest: self.latest.saturating_sub(by),
            retry_at: self.retry_at.saturating_sub(by),
            useful_until: self.useful_until.saturating_sub(by),
        }
    }
}

impl LeaseSchedule {
    /// Returns the same schedule with every moment earlier by that duration.
    pub(crate) fn shifted_back(&self, by: Duration) -> Self {
        Self {
            confirmed: self.confirmed.saturating_sub(by),
            deadline: self.deadline.saturating_sub(by),
            due: self.due.saturating_sub(by),
            ..self.clone()
        }
    }

    /// Creates the schedule of a lease that was granted to a request sent at `sent`, with `left` of
    /// it left.
    #[must_use]
    pub fn granted(timing: Arc<Timing>, sent: Moment, left: Duration) -> Self {
        // The first heartbeat joins the next batch, whenever that is. So all leases with the same
        // interval are renewed together, however they were acquired.
        let early = timing.heartbeat_interval;
        let (deadline, due) = (sent, sent);
        let mut schedule = Self { timing, confirmed: sent, early, deadline, failures: 0, due };
        schedule.confirm(sent, left);
        schedule
    }

    /// Notes that the store has granted or extended the lease.
    fn confirm(&mut self, sent: Moment, left: Duration) {
        self.confirmed = sent;
        self.deadline = (sent + left).saturating_sub(self.timing.margin);
        self.failures = 0;
        // If the reply to a grant was lost and the acquire was retried, only part of the lease is
        // left. It is renewed sooner, with time for all tries, so that it does not expire before a
        // heartbeat has failed.
        let tries = self.timing.retry_interval() * (self.timing.heartbeat_retries + 1);
        let latest = self.step_down_at().saturating_sub(tries).max(sent);
        self.due = (sent + self.timing.heartbeat_interval).min(latest);
    }

    /// Returns the moment until which the lease may be trusted.
    #[must_use]
    pub fn deadline(&self) -> Moment {
        self.deadline
    }

    /// Returns the moment until which the store certainly keeps the lease.
    pub(crate) fn lease_ends_at(&self) -> Moment {
        self.deadline + self.timing.margin
    }

    /// Returns the moment at which a leader whose heartbeats fail steps down, so that its `stop`
    /// ends by the deadline.
    #[must_use]
    pub fn step_down_at(&self) -> Moment {
        let latest = self.deadline.saturating_sub(self.timing.stop_grace);
        latest.min(self.confirmed + self.timing.tolerance)
    }

    /// Returns the next heartbeat, as of `now`. One that was due before is sent at once, and has
    /// the usual time for its reply: otherwise it would have failed before it was sent, because the
    /// grant arrived late.
    #[must_use]
    pub fn next_window(&self, now: Moment) -> RenewalWindow {
        self.window(self.due.saturating_sub(self.early).max(now), self.due.max(now))
    }

    /// Returns a heartbeat to send right now, because the lease may have changed.
    #[must_use]
    pub fn window_now(&self, now: Moment) -> RenewalWindow {
        self.window(now, now)
    }

    fn window(&self, earliest: Moment, latest: Moment) -> RenewalWindow {
        let retry_at = latest + self.timing.retry_interval();
        let useful_until = latest + self.timing.tolerance;
        RenewalWindow { earliest, latest, retry_at, useful_until }
    }

    /// Records that the store extended the lease: the request was sent at `sent`, and by the reply
    /// `left` of the lease was left.
    ///
    /// A reply to a request that is older than the latest confirmed one never shortens the trust.
    pub fn record_extension(&mut self, sent: Moment, left: Duration) {
        if sent < self.confirmed {
            let deadline = (sent + left).saturating_sub(self.timing.margin);
            self.deadline = self.deadline.max(deadline);
            return;
        }
        // With half an interval, any two groups of leases end up in one batch, wherever in the
        // interval each is due.
        self.early = self.timing.heartbeat_interval / 2;
        self.confirm(sent, left);
    }

    /// Returns when the latest heartbeat is due.
    pub(crate) fn due(&self) -> Moment {
        self.due
    }

    /// Sets when the latest heartbeat is due; its retries are counted from there.
    pub(crate) fn set_next_due(&mut self, due: Moment) {
        self.due = due;
    }

    /// Records that a heartbeat has failed or taken too long by `now`.
    pub fn record_failure(&mut self, now: Moment) {
        self.failures = self.failures.saturating_add(1);
        // Leases that failed at about the same time are retried together. But the last retry is
        // never sent early, so that leases survive an outage as long as the settings promise.
        self.early = match self.failures < self.timing.heartbeat_retries {
            true => self.timing.retry_interval() / 2,
            false => Duration::ZERO,
        };
        // Counting from the due moment keeps the interval of retries, whether an attempt failed at
        // once or hung.
        self.due = (self.due + self.timing.retry_interval()).max(now);
    }

    /// Returns whether all retries of the heartbeat have failed.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.failures > self.timing.heartbeat_retries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LockStore, MemoryStore, Settings};

    fn at(millis: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(millis))
    }

    fn schedule() -> LeaseSchedule {
        let timing = Settings::new().resolve(&MemoryStore::new().capabilities()).unwrap();
        LeaseSchedule::granted(Arc::new(timing), at(1000), Duration::from_secs(15))
    }

    #[test]
    fn trust_deadline_counts_from_when_the_request_was_sent() {
        let mut schedule = schedule();
        assert_eq!(schedule.deadline(), at(1000 + 15_000 - 750));
        // The reply may have taken long; the moment of the request counts.
        schedule.record_extension(at(4000), Duration::from_secs(15));
        assert_eq!(schedule.deadline(), at(4000 + 15_000 - 750));
    }

    #[test]
    fn the_first_heartbeat_joins_any_batch_and_later_ones_keep_their_interval() {
        let mut schedule = schedule();
        let next = |schedule: &LeaseSchedule, now| {
            let window = schedule.next_window(at(now));
            (window.earliest, window.latest)
        };
        assert_eq!(next(&schedule, 1000), (at(1000), at(4000)));
        schedule.record_extension(at(2000), Duration::from_secs(15));
        assert_eq!(next(&schedule, 2000), (at(3500), at(5000)));
        schedule.record_failure(at(5100));
        assert_eq!(next(&schedule, 5100), (at(5750), at(6500)));
        schedule.record_failure(at(6500));
        schedule.record_failure(at(8000));
        assert_eq!(next(&schedule, 8000), (at(9500), at(9500)));
    }

    #[test]
    fn a_partly_elapsed_lease_is_renewed_in_time() {
        let rest =
            |secs| LeaseSchedule::granted(schedule().timing, at(1000), Duration::from_secs(secs));
        // All four tries take 6 s, and stopping and the margin 5.75 s.
        let due = |secs| rest(secs).next_window(at(1000)).latest;
        assert_eq!(due(14), at(1000 + 2250));
        assert_eq!(due(12), at(1000 + 250));
        assert_eq!(due(11), at(1000));
        assert_eq!(due(1), at(1000));
    }

    #[test]
    fn an_overdue_heartbeat_gets_the_full_reply_timeout() {
        let window = schedule().next_window(at(7000));
        assert_eq!((window.latest, window.retry_at), (at(7000), at(8500)));
    }

    #[test]
    fn a_late_reply_never_shortens_the_trust_deadline() {
        let mut schedule = schedule();
        schedule.record_extension(at(5000), Duration::from_secs(15));
        let before = schedule.clone();
        schedule.record_extension(at(4000), Duration::from_secs(15));
        assert_eq!(schedule, before);
        schedule.record_extension(at(4000), Duration::from_secs(17));
        assert_eq!(schedule.deadline(), at(4000 + 17_000 - 750));
    }

    #[test]
    fn stop_fits_between_stepping_down_and_the_deadline() {
        let schedule = schedule();
        assert!(schedule.step_down_at() + schedule.timing.stop_grace <= schedule.deadline());
    }

    #[test]
    fn retries_keep_their_interval_and_end_before_step_down() {
        let mut schedule = schedule();
        let (mut attempts, mut now) = (0, at(1000));
        while !schedule.is_exhausted() {
            let window = schedule.next_window(now);
            assert!(window.retry_at <= schedule.step_down_at());
            attempts += 1;
            now = window.retry_at;
            schedule.record_failure(now);
        }
        assert_eq!(attempts, 4, "one heartbeat and three retries");
    }
}
