//! The overlap detector: who could trust which lease from when to when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_core::FencingToken;
use parking_lot::{Mutex, MutexGuard};

use crate::Taken;

/// What the clocks of two machines, or a clock of milliseconds, may make of a lease's length.
pub const CLOCK_TOLERANCE: Duration = Duration::from_millis(5);

/// A time in which one lease was in force beyond doubt, by this process's monotonic clock.
///
/// It begins when the grant was answered, after the store had decided. It ends what was left after
/// the call was *begun*, or when the release was begun: earlier than the lease does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// The number of the grant.
    pub token: FencingToken,
    /// When the grant was answered.
    pub from: Instant,
    /// Until when it was in force at least; before `from` when the call took longer than the ttl.
    pub until: Instant,
}

/// The grants of one name, from any number of clients.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    grants: Arc<Mutex<Vec<Trusted>>>,
}

impl Trace {
    /// Nothing granted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn grants(&self) -> MutexGuard<'_, Vec<Trusted>> {
        self.grants.lock()
    }

    /// Notes a lease that is left to run out.
    pub fn note_until_expiry(&self, taken: &Taken) {
        self.note_until(taken, taken.trusted_until());
    }

    /// Notes a lease that is given up, or was last trusted, at that moment.
    pub fn note_until(&self, taken: &Taken, until: Instant) {
        self.grants().push(Trusted { token: taken.token, from: taken.answered, until });
    }

    /// How many grants are noted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.grants().len()
    }

    /// Checks that no two leases were in force at once, and no token came twice.
    ///
    /// # Panics
    /// When they were, or one did.
    pub fn assert_exclusive(&self) {
        let mut grants = self.grants().clone();
        grants.sort_by_key(|grant| grant.token);
        for pair in grants.windows(2) {
            let [earlier, later] = pair else { continue };
            assert_ne!(earlier.token, later.token, "token {} came twice", later.token);
            let overlap = earlier.until.saturating_duration_since(later.from);
            assert!(
                overlap <= CLOCK_TOLERANCE,
                "lease {} was granted {overlap:?} before lease {} was over",
                later.token,
                earlier.token,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(spans: &[(u64, u64, u64)]) -> Trace {
        let start = Instant::now();
        let trace = Trace::new();
        for &(token, from, until) in spans {
            trace.grants().push(Trusted {
                token: FencingToken::new(token).unwrap(),
                from: start + Duration::from_millis(from),
                until: start + Duration::from_millis(until),
            });
        }
        trace
    }

    #[test]
    fn leases_one_after_the_other_are_exclusive() {
        trace(&[(2, 100, 200), (1, 0, 100), (5, 200, 230)]).assert_exclusive();
    }

    #[test]
    #[should_panic(expected = "before lease 1 was over")]
    fn an_overlap_is_seen() {
        trace(&[(1, 0, 100), (2, 50, 150)]).assert_exclusive();
    }

    #[test]
    #[should_panic(expected = "before lease 1 was over")]
    fn tokens_in_the_wrong_order_are_seen() {
        trace(&[(2, 0, 100), (1, 150, 250)]).assert_exclusive();
    }

    #[test]
    #[should_panic(expected = "came twice")]
    fn a_token_that_comes_twice_is_seen() {
        trace(&[(1, 0, 100), (1, 150, 250)]).assert_exclusive();
    }
}
