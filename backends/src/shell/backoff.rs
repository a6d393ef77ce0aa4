//! The pauses between attempts to reach a server.

use std::time::Duration;

const MIN: Duration = Duration::from_millis(100);
const MAX: Duration = Duration::from_secs(5);

/// Pauses that double from 100 ms to 5 s.
///
/// Each is multiplied by a random factor from 0.5 to 1.5, so that the clients of a server that
/// recovers do not all connect at once.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: MIN }
    }
}

impl Backoff {
    /// Returns the next pause.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(MAX);
        pause.mul_f64(0.5 + fastrand::f64())
    }

    /// Starts again with the shortest pause.
    pub fn reset(&mut self) {
        self.next = MIN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..10).map(|_| backoff.pause()).collect();
        assert!((MIN / 2..=MIN * 3 / 2).contains(&pauses[0]), "{pauses:?}");
        assert!((MAX / 2..=MAX * 3 / 2).contains(&pauses[9]), "{pauses:?}");
        backoff.reset();
        assert!(backoff.pause() <= MIN * 3 / 2);
    }
}
