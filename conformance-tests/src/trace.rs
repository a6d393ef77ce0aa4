//! The overlap detector records from when until when each client could trust its lease.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold_core::FencingToken;
use parking_lot::{Mutex, MutexGuard};

use crate::HeldLease;

/// A lease may be measured this much too long or too short, because two machines have different
/// clocks, or a clock counts milliseconds.
pub const CLOCK_TOLERANCE: Duration = Duration::from_millis(5);

/// This is a time in which one lease was certainly in force, by this process's monotonic clock.
///
/// It begins when the reply with the grant arrived, which is after the store's decision. It ends
/// when the remaining time has passed since the *start* of the call, or when the release started.
/// Both are earlier than the end of the lease.
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
    pub fn note_until_expiry(&self, taken: &HeldLease) {
        self.note_until(taken, taken.trusted_until());
    }

    /// Notes a lease that is released, or was last trusted, at that time.
    pub fn note_until(&self, taken: &HeldLease, until: Instant) {
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
    fn an_overlap_is_found() {
        trace(&[(1, 0, 100), (2, 50, 150)]).assert_exclusive();
    }

    #[test]
    #[should_panic(expected = "before lease 1 ended")]
    fn tokens_in_the_wrong_order_are_found() {
        trace(&[(2, 0, 100), (1, 150, 250)]).assert_exclusive();
    }

    #[test]
    #[should_panic(expected = "came twice")]
    fn a_repeated_token_is_found() {
        trace(&[(1, 0, 100), (1, 150, 250)]).assert_exclusive();
    }
}
