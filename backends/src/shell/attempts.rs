//! Counts the attempts of a call that is repeated because others changed the record.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::common::timeout::CALL_LIMIT;
use crate::{Error, ErrorKind, Result};

/// One of the attempts that a call makes.
///
/// A backend whose single operation decides, such as a transaction, ignores it. One that sends
/// several requests ends them by the deadline, and may read before it writes in the first attempt.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The number of the attempt within its call; the first has the number 1.
    pub number: u32,
    /// The time at which the call gives up, however many attempts it makes.
    pub deadline: Instant,
}

/// Counts the attempts of one call.
#[derive(Debug)]
pub(super) struct Attempts {
    next: Attempt,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self { next: Attempt { number: 1, deadline: Instant::now() + CALL_LIMIT } }
    }

    /// Returns the next attempt. From the third on, a random pause comes first, which grows.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) when the call has taken too long.
    pub(super) async fn next(&mut self) -> Result<Attempt> {
        let attempt = self.next;
        if attempt.number > 1 && Instant::now() >= attempt.deadline {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "the record changed each time it was read",
            )
            .with_fix("are too many clients contending for this lock?"));
        }
        if attempt.number > 2 {
            let max_millis = 1 << attempt.number.min(6);
            sleep(Duration::from_millis(fastrand::u64(0..=max_millis))).await;
        }
        self.next.number += 1;
        Ok(attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempts_end_when_the_call_has_taken_too_long() {
        let mut attempts = Attempts::new();
        let first = attempts.next().await.unwrap();
        assert_eq!(first.number, 1);
        let mut last = first;
        let error = loop {
            match attempts.next().await {
                Ok(attempt) => {
                    assert_eq!(
                        (attempt.number, attempt.deadline),
                        (last.number + 1, first.deadline)
                    );
                    last = attempt;
                }
                Err(error) => break error,
            }
        };
        assert!(error.is_unavailable() && last.number > 50, "{error} after {}", last.number);
    }
}
