//! The overlap detector knows who could trust which lease from when until when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_core::FencingToken;
use parking_lot::{Mutex, MutexGuard};

use crate::Taken;

/// The clocks of two machines, or a clock of milliseconds, may change the length of a lease by this
/// much.
pub const CLOCK_TOLERANCE: Duration = Duration::from_millis(5);

/// In this time one lease was certainly in force, by this process's monotonic clock.
///
/// It begins when the answer with the grant arrived, which is after the store's decision. It ends
/// when the time that was left has passed since the call was *begun*, or when the release was
/// begun. Both are earlier than the end of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trusted {
    /// This is the fencing token of the grant.
    pub token: FencingToken,
    /// The grant was received at this time.
    pub from: Instant,
    /// The lease was in force at least until then. This is before `from` if the call took longer
    /// than the ttl.
    pub until: Instant,
}

/// A trace has the grants of one name to any number of clients.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    grants: Arc<Mutex<Vec<Trusted>>>,
}

impl Trace {
    /// Creates a trace without grants.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn grants(&self) -> MutexGuard<'_, Vec<Trusted>> {
        self.grants.lock()
    }

    /// Notes a lease that is left to expire.
    pub fn note_until_expiry(&self, taken: &Taken) {
        self.note_until(taken, taken.trusted_until());
    }

    /// Notes a lease that is released, or was last trusted, at that time.
    pub fn note_until(&self, taken: &Taken, until: Instant) {
        self.grants().push(Trusted { token: taken.token, from: taken.answered, until });
    }

    /// Returns the number of grants noted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.grants().len()
    }

    /// Checks that no two leases were in force at the same time and that no fencing token was
    /// granted twice.
    ///
    /// # Panics
    /// It panics if either happened.
    pub fn assert_exclusive(&self) {
        let mut grants = self.grants().clone();
        grants.sort_by_key(|grant| grant.token);
        for pair in grants.windows(2) {
            let [earlier, later] = pair else { continue };
            assert_ne!(earlier.token, later.token, "token {} came twice", later.token);
            let overlap = earlier.until.saturating_duration_since(later.from);
            assert!(
                overlap <= CLOCK_TOLERANCE,
                "lease {} was granted {overlap:?} before lease {} ended",
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
    #[should_panic(expected = "before lease 1 ended")]
    fn an_overlap_is_seen() {
        trace(&[(1, 0, 100), (2, 50, 150)]).assert_exclusive();
    }

    #[test]
    #[should_panic(expected = "before lease 1 ended")]
    fn tokens_in_the_wrong_order_are_seen() {
        trace(&[(2, 0, 100), (1, 150, 250)]).assert_exclusive();
    }

    #[test]
    #[should_panic(expected = "came twice")]
    fn a_token_that_comes_twice_is_seen() {
        trace(&[(1, 0, 100), (1, 150, 250)]).assert_exclusive();
    }
}
