//! Decides when the renewals of one lease are sent and what follows from their answers, without
//! I/O.

use std::time::Duration;

use super::{Beat, Hold};
use crate::Moment;

/// The schedule of one lease's renewals, for a term and for a guard alike.
///
/// A renewal without an answer stays under way while its retry goes out. Whichever is answered
/// first counts, from the moment at which it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RenewalPlan {
    hold: Hold,
    /// The latest renewal that was asked for.
    beat: Beat,
    /// Hints are ignored until a renewal is answered: they would use up the retries.
    ignore_hints: bool,
    /// The latest renewal was asked for by a hint.
    by_hint: bool,
    /// The latest renewal is a retry of one that has been answered since, before the next heartbeat
    /// is due, so its failure does not count against that heartbeat.
    spare: bool,
    /// Retries go on for as long as the lease is trusted.
    persistent: bool,
}

/// What to do after a renewal failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send another renewal.
    Renew(Beat),
    /// A renewal that is under way, or about to be sent, decides.
    Wait,
    /// All retries have failed.
    GiveUp,
}

impl RenewalPlan {
    /// Creates the plan of a term, which is given up once all retries have failed.
    pub(crate) fn for_term(hold: Hold, now: Moment) -> Self {
        let beat = hold.next_beat(now);
        Self { hold, beat, ignore_hints: false, by_hint: false, spare: false, persistent: false }
    }

    /// Creates the plan of a guard, which is kept for as long as its lease is trusted.
    pub(crate) fn for_guard(hold: Hold, now: Moment) -> Self {
        Self { persistent: true, ..Self::for_term(hold, now) }
    }

    pub(crate) fn hold(&self) -> &Hold {
        &self.hold
    }

    /// The latest renewal that was asked for.
    pub(crate) fn beat(&self) -> Beat {
        self.beat
    }

    /// Returns whether a hint would change anything.
    pub(crate) fn heeds_hints(&self) -> bool {
        !self.ignore_hints
    }

    /// Returns the same plan with every moment earlier by that duration.
    pub(crate) fn earlier(&self, by: Duration) -> Self {
        Self { hold: self.hold.earlier(by), beat: self.beat.earlier(by), ..self.clone() }
    }

    /// Returns the retry of the latest renewal, which has no answer at its `retry_at`, if a retry
    /// is left.
    pub(crate) fn retry(&mut self, now: Moment) -> Option<Beat> {
        if now < self.beat.retry_at {
            return None;
        }
        self.try_again(now)
    }

    /// The store extended the lease. `under_way` says whether another renewal is unanswered.
    /// Returns the next one, unless that was sent already.
    pub(crate) fn extended(
        &mut self,
        sent: Moment,
        left: Duration,
        now: Moment,
        under_way: bool,
    ) -> Option<Beat> {
        let was_exhausted = self.is_exhausted();
        self.hold.extended(sent, left);
        if under_way && sent < self.beat.from {
            self.spare = self.hold.due() > self.beat.due;
            self.hold.set_due(self.beat.due.max(self.hold.due()));
            if was_exhausted {
                // It waited for the end of the lease, which is further away now.
                self.beat.retry_at = self.hold.due().max(now);
            }
            return None;
        }
        if self.by_hint && sent < self.beat.from {
            // That answer is older than the hint, whose renewal was not sent yet.
            self.beat = self.hold.beat_now(now);
            return Some(self.beat);
        }
        self.ignore_hints = false;
        Some(self.next_beat(now))
    }

    /// A renewal that was sent at `sent` failed. `under_way` says whether another is unanswered.
    pub(crate) fn failed(&mut self, sent: Moment, now: Moment, under_way: bool) -> Next {
        if !self.is_exhausted() {
            if sent < self.beat.from {
                // Its retry was asked for already.
                return Next::Wait;
            }
            if let Some(beat) = self.try_again(now) {
                return Next::Renew(beat);
            }
        }
        if under_way { Next::Wait } else { Next::GiveUp }
    }

    /// Something may have happened to the lease: returns a renewal to send now, unless an earlier
    /// hint or a failure asked for one already.
    pub(crate) fn hinted(&mut self, now: Moment) -> Option<Beat> {
        if self.ignore_hints {
            return None;
        }
        self.ignore_hints = true;
        self.by_hint = true;
        self.spare = false;
        self.beat = self.hold.beat_now(now);
        Some(self.beat)
    }

    fn is_exhausted(&self) -> bool {
        !self.persistent && self.hold.is_exhausted()
    }

    fn try_again(&mut self, now: Moment) -> Option<Beat> {
        self.ignore_hints = true;
        if !self.spare {
            self.hold.failed(now);
        }
        if self.is_exhausted() {
            // Nothing more is sent unless a renewal that is under way is answered.
            self.beat.retry_at = self.hold.step_down_at();
            return None;
        }
        Some(self.next_beat(now))
    }

    fn next_beat(&mut self, now: Moment) -> Beat {
        self.by_hint = false;
        self.spare = false;
        self.beat = self.hold.next_beat(now);
        // It may be overdue because an answer came late; the renewals after it keep their pace.
        self.hold.set_due(self.beat.due);
        self.beat
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LockStore, MemoryStore, Settings};

    const TTL: Duration = Duration::from_secs(15);

    fn at(millis: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(millis))
    }

    /// Renewals are due each 3 s and retried each 1.5 s.
    fn hold() -> Hold {
        let timing = Settings::new().resolve(&MemoryStore::new().capabilities()).unwrap();
        Hold::granted(timing, at(0), TTL)
    }

    #[test]
    fn an_older_renewal_that_fails_leaves_its_retry_alone() {
        let mut plan = RenewalPlan::for_term(hold(), at(0));
        let retry = plan.retry(at(4_500)).unwrap();
        assert_eq!((retry.from, retry.due), (at(4_500), at(4_500)));
        assert_eq!(plan.failed(at(3_000), at(4_600), true), Next::Wait);
        assert_eq!(plan.beat(), retry);
        assert!(matches!(plan.failed(at(4_500), at(4_700), false), Next::Renew(_)));
    }

    #[test]
    fn a_late_yes_counts_beside_its_retry() {
        let mut plan = RenewalPlan::for_term(hold(), at(0));
        let retry = plan.retry(at(4_500)).unwrap();
        assert_eq!(plan.extended(at(3_000), TTL, at(4_600), true), None);
        assert_eq!(plan.hold().deadline(), at(3_000 + 15_000 - 750));
        assert_eq!(plan.beat(), retry, "its retry is out and is the next heartbeat");
        assert!(plan.extended(at(4_500), TTL, at(6_100), false).is_some());
        assert_eq!(plan.hold().deadline(), at(4_500 + 15_000 - 750));
    }

    /// Otherwise a term would survive only shorter outages than the settings promise.
    #[test]
    fn a_retry_that_fails_after_a_late_yes_uses_up_no_retry() {
        let mut plan = RenewalPlan::for_term(hold(), at(0));
        plan.retry(at(4_500)).unwrap();
        assert_eq!(plan.extended(at(3_000), TTL, at(4_600), true), None);
        let Next::Renew(beat) = plan.failed(at(4_500), at(4_700), false) else { panic!() };
        assert_eq!(beat.due, at(6_000));
        for due in [7_500, 9_000, 10_500] {
            let failed = plan.beat().due;
            let Next::Renew(beat) = plan.failed(failed, failed, false) else { panic!() };
            assert_eq!(beat.due, at(due));
        }
        assert_eq!(plan.failed(at(10_500), at(10_500), false), Next::GiveUp);
    }

    #[test]
    fn a_term_is_given_up_when_nothing_is_under_way_after_the_last_retry() {
        let mut plan = RenewalPlan::for_term(hold(), at(0));
        for millis in [4_500, 6_000, 7_500] {
            assert!(plan.retry(at(millis)).is_some());
        }
        assert_eq!(plan.retry(at(9_000)), None);
        assert_eq!(plan.beat().retry_at, plan.hold().step_down_at());
        assert_eq!(plan.failed(at(7_500), at(9_100), true), Next::Wait);
        assert_eq!(plan.failed(at(3_000), at(9_200), false), Next::GiveUp);
    }

    /// Otherwise nothing would be sent, and no disable noticed, until the lease is nearly over.
    #[test]
    fn a_late_yes_after_the_last_retry_goes_on_with_the_heartbeats() {
        let mut plan = RenewalPlan::for_term(hold(), at(0));
        for millis in [4_500, 6_000, 7_500] {
            assert!(plan.retry(at(millis)).is_some());
        }
        assert_eq!(plan.retry(at(9_000)), None);
        assert_eq!(plan.extended(at(3_000), TTL, at(9_100), true), None);
        assert_eq!(plan.beat().retry_at, at(9_100));
        assert!(plan.retry(at(9_100)).is_some());
    }

    #[test]
    fn an_older_answer_leaves_the_renewal_of_a_hint_at_once() {
        let mut plan = RenewalPlan::for_term(hold(), at(0));
        let hinted = plan.hinted(at(3_100)).unwrap();
        assert_eq!(hinted.due, at(3_100));
        let next = plan.extended(at(3_000), TTL, at(3_101), false).unwrap();
        assert_eq!(next.due, at(3_101));
        let next = plan.extended(at(3_101), TTL, at(3_102), false).unwrap();
        assert_eq!(next.due, at(6_101));
    }

    #[test]
    fn a_guard_is_retried_until_its_deadline() {
        let mut plan = RenewalPlan::for_guard(hold(), at(0));
        for millis in [4_500, 6_000, 7_500, 9_000, 10_500, 12_000] {
            assert!(plan.retry(at(millis)).is_some());
        }
    }

    /// The next heartbeat was due at 6 s. Failures used to follow each other without a pause until
    /// the schedule had caught up.
    #[test]
    fn retries_keep_their_pace_after_an_answer_that_came_late() {
        let mut plan = RenewalPlan::for_guard(hold(), at(0));
        let mut beat = plan.extended(at(3_000), TTL, at(12_000), false).unwrap();
        for retry in 0..3 {
            let at_once = beat.due + Duration::from_millis(1);
            assert_eq!(beat.due, at(12_000 + retry * 1_500));
            let Next::Renew(next) = plan.failed(beat.due, at_once, false) else { panic!() };
            beat = next;
        }
    }

    #[test]
    fn hints_are_ignored_until_a_renewal_is_answered() {
        let mut plan = RenewalPlan::for_guard(hold(), at(0));
        assert!(plan.hinted(at(500)).is_some());
        assert_eq!(plan.hinted(at(501)), None);
        assert!(matches!(plan.failed(at(500), at(502), false), Next::Renew(_)));
        assert_eq!(plan.hinted(at(503)), None);
        assert!(plan.extended(at(4_500), TTL, at(4_501), false).is_some());
        assert!(plan.hinted(at(4_502)).is_some());
    }
}
