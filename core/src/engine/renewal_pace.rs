//! The pace of renewals decides how many batches are in progress at once. It is pure.

use std::collections::BTreeMap;

use crate::Moment;

/// A pace says when the next batch may be sent.
///
/// Batches that are sent at the same time wait for each other at the store: each takes as long as
/// all of them, and many are repeated although they would be answered. So a few are in progress at
/// once, and the others wait here, where the lease that must be renewed first is ahead.
///
/// The store may be too slow for that, or a batch may hang. So a batch is sent regardless of those
/// in progress as soon as the time until its leases must be renewed demands it: half of that time
/// is divided among the batches that are ahead, and the other half is for the reply and retries.
#[derive(Debug)]
pub(super) struct RenewalPace {
    max_batch: usize,
    /// While there is time, this many full batches are in progress.
    batches: usize,
    in_flight: BTreeMap<u64, BatchInFlight>,
    /// This counts the batches so far.
    sent: u64,
    last_sent: Moment,
}

#[derive(Clone, Copy, Debug)]
struct BatchInFlight {
    leases: usize,
    /// From this moment on the batch is late, and no other one waits for it.
    retry_at: Moment,
}

impl RenewalPace {
    /// While there is time, about this many leases are in progress. The store has the next batch
    /// when it has answered one, also while the client handles the replies to another.
    const PIPELINED_LEASES: usize = 600;

    /// They are in at least, and at most, this many full batches.
    const PIPELINED_BATCHES: (usize, usize) = (2, 3);

    pub(super) fn new(max_batch: usize) -> Self {
        let (in_flight, sent, last_sent) = (BTreeMap::new(), 0, Moment::ORIGIN);
        let max_batch = max_batch.max(1);
        let (least, most) = Self::PIPELINED_BATCHES;
        let batches = (Self::PIPELINED_LEASES / max_batch).clamp(least, most);
        Self { max_batch, batches, in_flight, sent, last_sent }
    }

    /// Returns the largest number of leases in a batch.
    pub(super) fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// Returns whether another batch may be sent at once if that many leases are ready.
    pub(super) fn has_room(&self, ready: usize, now: Moment) -> bool {
        let leases = self.awaited(now).map(|batch| batch.leases).sum::<usize>();
        leases + ready.min(self.max_batch) <= self.max_batch.saturating_mul(self.batches)
    }

    /// Returns the moment at which the next batch is sent if there is no room until then; it may
    /// have passed. Each batch that waits is sent by its moment in `send_by`, and those ahead of it
    /// are sent at even intervals before.
    pub(super) fn next_send(&self, send_by: &[Moment], now: Moment) -> Moment {
        let room_at = self.awaited(now).map(|batch| batch.retry_at).min();
        let needed_at = send_by.iter().zip(1_u32..).map(|(send_by, batches)| {
            self.last_sent + send_by.saturating_since(self.last_sent) / batches
        });
        needed_at.chain(room_at).min().unwrap_or(now)
    }

    /// Returns the batches in progress that are not late.
    fn awaited(&self, now: Moment) -> impl Iterator<Item = &BatchInFlight> {
        self.in_flight.values().filter(move |batch| now < batch.retry_at)
    }

    /// Notes that a batch is sent, and returns its number. It is late from `retry_at` on.
    pub(super) fn record_send(&mut self, leases: usize, now: Moment, retry_at: Moment) -> u64 {
        self.sent += 1;
        self.last_sent = now;
        self.in_flight.insert(self.sent, BatchInFlight { leases, retry_at });
        self.sent
    }

    /// Notes that the call of a batch has ended.
    pub(super) fn record_end(&mut self, number: u64) {
        self.in_flight.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(millis))
    }

    /// Returns the pace after two full batches were sent at 1 s, which are late from 2.5 s on.
    fn busy() -> RenewalPace {
        let mut pace = RenewalPace::new(400);
        for _ in 0..2 {
            assert!(pace.has_room(4_000, at(1_000)));
            pace.record_send(400, at(1_000), at(2_500));
        }
        pace
    }

    #[test]
    fn small_batches_wait_for_nothing() {
        let mut pace = RenewalPace::new(100);
        for _ in 0..299 {
            pace.record_send(1, at(1_000), at(2_500));
        }
        assert!(pace.has_room(1, at(1_001)));
        assert!(!pace.has_room(2, at(1_001)));
    }

    #[test]
    fn a_batch_is_sent_when_an_earlier_one_has_ended() {
        let mut pace = busy();
        assert!(!pace.has_room(3_200, at(1_010)));
        pace.record_end(1);
        assert!(pace.has_room(3_200, at(1_010)));
    }

    #[test]
    fn small_batches_are_more_in_progress_than_large_ones() {
        for (max_batch, most) in [(1, 3), (200, 3), (300, 2), (500, 2), (1_000, 2)] {
            let mut pace = RenewalPace::new(max_batch);
            let mut sent = 0;
            while pace.has_room(usize::MAX, at(1_000)) {
                pace.record_send(max_batch, at(1_000), at(2_500));
                sent += 1;
            }
            assert_eq!(sent, most, "batches of {max_batch} leases");
        }
    }

    #[test]
    fn the_number_in_progress_follows_from_the_time_left_and_the_number_that_waits() {
        let pace = busy();
        let next = |send_by: &[Moment]| pace.next_send(send_by, at(1_010));
        assert_eq!(next(&[at(5_000); 8]), at(1_000 + 4_000 / 8));
        assert_eq!(next(&[at(5_000); 80]), at(1_000 + 4_000 / 80));
        assert_eq!(next(&[at(1_400); 8]), at(1_000 + 400 / 8));
        assert_eq!(next(&[at(900)]), at(1_000), "there is no time left");
        // The batches behind need not hurry because of the first one.
        assert_eq!(next(&[at(2_000), at(5_000), at(5_000)]), at(2_000));
    }

    #[test]
    fn no_batch_waits_for_a_late_one() {
        let pace = busy();
        assert_eq!(pace.next_send(&[at(90_000)], at(1_010)), at(2_500));
        assert!(!pace.has_room(400, at(2_499)));
        assert!(pace.has_room(400, at(2_500)));
    }

    /// The last of many batches was once sent when there was hardly time left for its reply.
    #[test]
    fn all_batches_are_sent_in_time_to_a_store_that_does_not_answer() {
        let mut pace = RenewalPace::new(100);
        let mut now = at(3_000);
        for waiting in (1..=200).rev() {
            if !pace.has_room(waiting * 100, now) {
                now = now.max(pace.next_send(&vec![at(6_125); waiting], now));
            }
            pace.record_send(100, now, at(60_000));
        }
        assert_eq!(now, at(6_125), "the last batch");
    }
}
