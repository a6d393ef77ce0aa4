//! The pace of renewals decides how many batches are in progress at once. It is pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Moment;

/// A pace says when the next batch may be sent.
///
/// Batches that are sent at the same time wait for each other at the store: each takes as long as
/// all of them, and many are repeated although they would be answered. So a few are in progress at
/// once, and the others wait here, where the lease that must be renewed first is ahead.
///
/// The store may be too slow for that, or a batch may hang. So a batch is sent regardless of those
/// in progress as soon as the time until its leases must be renewed demands it: that time is
/// divided by the number of batches that wait.
#[derive(Debug)]
pub(super) struct RenewalPace {
    max_batch: usize,
    in_flight: BTreeMap<u64, BatchInFlight>,
    /// This counts the batches so far.
    sent: u64,
    last_sent: Moment,
    /// The batch that ended last took this long.
    latency: Duration,
}

#[derive(Clone, Copy, Debug)]
struct BatchInFlight {
    leases: usize,
    sent: Moment,
    /// From this moment on the batch is late, and no other one waits for it.
    retry_at: Moment,
}

/// A backlog is what is ready to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backlog {
    /// This many leases are to be renewed.
    pub(super) leases: usize,
    /// The first of them must be renewed by this moment.
    pub(super) renew_by: Moment,
}

impl RenewalPace {
    /// While there is time, as many leases are in progress as this many full batches have: the
    /// store has the next batch when it has answered one.
    const PIPELINED_BATCHES: usize = 2;

    pub(super) fn new(max_batch: usize) -> Self {
        Self {
            max_batch: max_batch.max(1),
            in_flight: BTreeMap::new(),
            sent: 0,
            last_sent: Moment::ORIGIN,
            latency: Duration::ZERO,
        }
    }

    /// Returns the largest number of leases in a batch.
    pub(super) fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// Returns the moment at which the next batch of the backlog may be sent; it may have passed.
    pub(super) fn next_send(&self, backlog: Backlog, now: Moment) -> Moment {
        let awaited = || self.in_flight.values().filter(|batch| now < batch.retry_at);
        let next = backlog.leases.min(self.max_batch);
        let leases = awaited().map(|batch| batch.leases).sum::<usize>() + next;
        if leases <= self.max_batch.saturating_mul(Self::PIPELINED_BATCHES) {
            return now;
        }
        let room_at = awaited().map(|batch| batch.retry_at).min();
        room_at.map_or(now, |at| at.min(self.needed_at(backlog)))
    }

    /// Returns the moment at which the next batch must be sent, so that the last one is answered
    /// well before its leases must be renewed.
    fn needed_at(&self, backlog: Backlog) -> Moment {
        let batches = u32::try_from(backlog.leases.div_ceil(self.max_batch)).unwrap_or(u32::MAX);
        let last_call = backlog.renew_by.saturating_sub(self.latency * 2);
        self.last_sent + last_call.saturating_since(self.last_sent) / 2 / batches.max(1)
    }

    /// Notes that a batch is sent, and returns its number. It is late from `retry_at` on.
    pub(super) fn record_send(&mut self, leases: usize, now: Moment, retry_at: Moment) -> u64 {
        self.sent += 1;
        self.last_sent = now;
        self.in_flight.insert(self.sent, BatchInFlight { leases, sent: now, retry_at });
        self.sent
    }

    /// Notes that the call of a batch has ended.
    pub(super) fn record_end(&mut self, number: u64, now: Moment) {
        if let Some(batch) = self.in_flight.remove(&number) {
            self.latency = now.saturating_since(batch.sent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(millis))
    }

    fn backlog(leases: usize, renew_by: u64) -> Backlog {
        Backlog { leases, renew_by: at(renew_by) }
    }

    /// Returns the pace after two full batches were sent at 1 s, which are late from 2.5 s on.
    fn busy() -> RenewalPace {
        let mut pace = RenewalPace::new(100);
        for _ in 0..2 {
            assert_eq!(pace.next_send(backlog(1000, 9_000), at(1_000)), at(1_000));
            pace.record_send(100, at(1_000), at(2_500));
        }
        pace
    }

    #[test]
    fn small_batches_wait_for_nothing() {
        let mut pace = RenewalPace::new(100);
        for _ in 0..199 {
            pace.record_send(1, at(1_000), at(2_500));
        }
        assert_eq!(pace.next_send(backlog(1, 9_000), at(1_001)), at(1_001));
    }

    #[test]
    fn a_batch_is_sent_when_an_earlier_one_has_ended() {
        let mut pace = busy();
        assert!(pace.next_send(backlog(800, 9_000), at(1_010)) > at(1_010));
        pace.record_end(1, at(1_010));
        assert_eq!(pace.next_send(backlog(800, 9_000), at(1_010)), at(1_010));
    }

    #[test]
    fn the_number_in_progress_follows_from_the_time_left_and_the_number_that_waits() {
        let pace = busy();
        let next = |leases, renew_by| pace.next_send(backlog(leases, renew_by), at(1_010));
        assert_eq!(next(800, 9_000), at(1_000 + 8_000 / 2 / 8));
        assert_eq!(next(8_000, 9_000), at(1_000 + 8_000 / 2 / 80));
        assert_eq!(next(800, 1_800), at(1_000 + 800 / 2 / 8));
        assert_eq!(next(800, 900), at(1_000), "there is no time left");
    }

    #[test]
    fn a_slow_store_gets_the_batches_sooner() {
        let mut pace = busy();
        pace.record_end(1, at(2_000));
        pace.record_send(100, at(2_000), at(3_500));
        // Calls take a second, so the last one must begin 2 s before its leases must be renewed.
        assert_eq!(pace.next_send(backlog(1_000, 8_000), at(2_001)), at(2_000 + 4_000 / 2 / 10));
    }

    #[test]
    fn all_batches_are_sent_in_time_to_a_store_that_does_not_answer() {
        let mut pace = RenewalPace::new(100);
        let mut now = at(3_000);
        for waiting in (1..=200).rev() {
            now = now.max(pace.next_send(backlog(waiting * 100, 9_250), now));
            pace.record_send(100, now, at(60_000));
        }
        assert!(now < at(9_250), "the last batch is sent at {now:?}");
    }

    #[test]
    fn no_batch_waits_for_a_late_one() {
        let pace = busy();
        assert_eq!(pace.next_send(backlog(1, 90_000), at(1_010)), at(2_500));
        assert_eq!(pace.next_send(backlog(1, 90_000), at(2_500)), at(2_500));
    }
}
