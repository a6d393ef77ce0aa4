//! The requests that a hint causes are spread over a few milliseconds when many clients wait. This
//! is pure: the drivers of the machines draw the random part.
//!
//! A release reaches all clients that wait for the name at the same moment, and only one of them
//! can be granted it. To the machine, a hint that is held back for a moment is a late hint, which
//! may happen anyway: nothing depends on it.

use std::time::Duration;

use crate::{AcquireOutcome, FencingToken, Moment, Result};

/// Hint races are the requests that a client sent because of hints; it loses one when another
/// client was faster. Where `n` others wait, it loses about `n` races for each that it wins.
///
/// A client that is refused because of the same grant as before has not lost a race: the hint was
/// about something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HintRaces {
    /// A lost race adds one, and a race that is won halves this.
    lost: u32,
    /// The latest refusal was because of the grant with this token.
    refused_by: Option<FencingToken>,
}

impl HintRaces {
    /// Hints are held back for less than this, however many clients wait.
    pub(crate) const MAX_SPREAD: Duration = Duration::from_millis(5);

    /// The spread grows by this with each lost race. So the first of all clients asks after about
    /// the same time, however many they are.
    const SPREAD_PER_LOSS: Duration = Duration::from_micros(250);

    const MAX_LOST: u32 = 20;

    /// Records the reply to a request, and whether a hint had caused it. A failure says nothing
    /// about other clients.
    pub(crate) fn record(&mut self, outcome: &Result<AcquireOutcome>, was_race: bool) {
        match outcome {
            Ok(AcquireOutcome::Held(held)) => {
                let before = self.refused_by.replace(held.token);
                if was_race && before.is_some_and(|token| token != held.token) {
                    self.lost = (self.lost + 1).min(Self::MAX_LOST);
                }
            }
            Ok(AcquireOutcome::Granted(_)) if was_race => self.lost /= 2,
            // In a queue, the order of the requests after a hint decides nothing.
            Ok(AcquireOutcome::Queued(_)) => {}
            Ok(AcquireOutcome::Granted(_) | AcquireOutcome::Disabled(_)) | Err(_) => {}
        }
    }

    /// Returns the range of the random time for which a hint is held back.
    pub(crate) fn spread(self) -> Duration {
        Self::SPREAD_PER_LOSS * self.lost
    }
}

/// A hint spread holds back the hints of one waiter.
#[derive(Debug, Default)]
pub(crate) struct HintSpread {
    /// The hint that is held back is passed on at this moment.
    due: Option<Moment>,
    /// A hint was passed on, and no request was sent since then.
    passed_on: bool,
    /// A hint caused the latest request, which has no reply yet.
    races: bool,
}

impl HintSpread {
    /// Timers are not finer than this. A hint for which a shorter time is drawn is not held back.
    const MIN_DELAY: Duration = Duration::from_millis(1);

    /// Takes a hint, and returns whether it is passed on now. Otherwise it is passed on at a moment
    /// that is drawn from the spread; the next hint can make it earlier but not later.
    pub(crate) fn take(
        &mut self,
        now: Moment,
        spread: Duration,
        draw: impl FnOnce(Duration) -> Duration,
    ) -> bool {
        // Most locks have few waiters, which draw nothing.
        let delay = if spread < Self::MIN_DELAY { Duration::ZERO } else { draw(spread) };
        if delay < Self::MIN_DELAY {
            self.pass_on();
            return true;
        }
        let due = now + delay;
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        false
    }

    /// Returns when the hint that is held back is passed on.
    pub(crate) fn due(&self) -> Option<Moment> {
        self.due
    }

    /// Notes that a hint is passed on.
    pub(crate) fn pass_on(&mut self) {
        (self.due, self.passed_on) = (None, true);
    }

    /// Notes that a request is sent. Its reply tells more than a hint that came before.
    pub(crate) fn request_sent(&mut self) {
        self.due = None;
        self.races = std::mem::take(&mut self.passed_on);
    }

    /// Notes that the latest request has a reply, and returns whether a hint had caused it.
    pub(crate) fn was_race(&mut self) -> bool {
        std::mem::take(&mut self.races)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind, FencingToken, Grant, Held, Holder};

    fn at(millis: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(millis))
    }

    fn refused_by(token: u64) -> Result<AcquireOutcome> {
        let token = FencingToken::new(token).unwrap();
        Ok(AcquireOutcome::Held(Held::new(Holder::current(), token, Duration::from_secs(1))))
    }

    fn granted() -> Result<AcquireOutcome> {
        let grant = Grant::new(FencingToken::new(10_000).unwrap(), Duration::from_secs(15));
        Ok(AcquireOutcome::Granted(grant))
    }

    /// Returns the races of a client that was refused once and has lost so many since then.
    fn after(lost: u64) -> HintRaces {
        let mut races = HintRaces::default();
        races.record(&refused_by(1), false);
        (2..lost + 2).for_each(|token| races.record(&refused_by(token), true));
        races
    }

    #[test]
    fn the_spread_grows_with_lost_races_up_to_a_bound() {
        assert_eq!(after(0).spread(), Duration::ZERO);
        assert_eq!(after(8).spread(), Duration::from_millis(2));
        assert_eq!(after(1000).spread(), HintRaces::MAX_SPREAD);
    }

    #[test]
    fn a_race_that_is_won_halves_the_spread_and_a_failure_keeps_it() {
        let mut races = after(8);
        races.record(&Err(Error::new(ErrorKind::Unavailable, "connection refused")), true);
        assert_eq!(races, after(8));
        races.record(&granted(), true);
        assert_eq!(races.spread(), after(4).spread());
    }

    #[test]
    fn a_refusal_because_of_the_same_grant_or_without_a_hint_is_not_a_lost_race() {
        let mut races = after(8);
        for token in [9, 9, 9] {
            races.record(&refused_by(token), true);
        }
        races.record(&refused_by(50), false);
        races.record(&granted(), false);
        assert_eq!(races.spread(), after(8).spread());
    }

    #[test]
    fn a_client_that_wins_every_other_race_never_waits() {
        let mut races = HintRaces::default();
        for token in 1..100 {
            races.record(&refused_by(token), true);
            let passed_on = HintSpread::default().take(at(0), races.spread(), |_| unreachable!());
            assert!(passed_on);
            races.record(&granted(), true);
        }
    }

    #[test]
    fn a_hint_is_passed_on_at_the_earliest_moment_that_was_drawn() {
        let mut spread = HintSpread::default();
        let millis = Duration::from_millis;
        for (now, drawn, due) in [(0, 4, 4), (1, 4, 4), (2, 1, 3)] {
            assert!(!spread.take(at(now), HintRaces::MAX_SPREAD, |_| millis(drawn)));
            assert_eq!(spread.due(), Some(at(due)));
        }
        assert!(spread.take(at(2), HintRaces::MAX_SPREAD, |_| Duration::from_micros(999)));
        assert_eq!(spread.due(), None);
    }

    #[test]
    fn a_request_makes_an_earlier_hint_obsolete() {
        let mut spread = HintSpread::default();
        spread.take(at(0), HintRaces::MAX_SPREAD, |most| most);
        spread.request_sent();
        assert_eq!(spread.due(), None);
        assert!(!spread.was_race(), "a poll or a local release caused the request");
    }

    #[test]
    fn a_hint_during_a_request_makes_the_next_request_a_race() {
        let mut spread = HintSpread::default();
        spread.request_sent();
        assert!(spread.take(at(0), Duration::ZERO, |_| unreachable!()));
        assert!(!spread.was_race());
        spread.request_sent();
        assert!(spread.was_race());
        assert!(!spread.was_race());
    }
}
