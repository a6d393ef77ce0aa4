//! Distinguishes a dead connection from a slow server: a dead connection is silent.

use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A connection on which a call waits counts as silent after this time, or after four times the
/// usual latency up to [`MAX_SILENCE`], whichever is longer.
pub(super) const MIN_SILENCE: Duration = Duration::from_secs(1);
const MAX_SILENCE: Duration = Duration::from_secs(3);

/// Returns how long a connection that usually answers within `latency` may be silent.
pub(super) fn silence_limit(shortest: Duration, latency: Duration) -> Duration {
    shortest.max(latency.saturating_mul(4).min(MAX_SILENCE))
}

/// When a connection last answered.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    /// The time of the last answer in microseconds after opening.
    answered: AtomicU64,
}

impl Activity {
    /// Creates the activity of a connection that was opened just now.
    pub(super) fn new() -> Self {
        Self { opened: Instant::now(), answered: AtomicU64::new(0) }
    }

    pub(super) fn answer(&self) {
        let micros = self.opened.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
        self.answered.fetch_max(micros, Ordering::Relaxed);
    }

    /// Returns when the connection last answered.
    pub(super) fn last_answer(&self) -> Instant {
        self.opened + Duration::from_micros(self.answered.load(Ordering::Relaxed))
    }
}

/// At most this many silent connections are replaced while calls still wait on them, so that a
/// server that hangs is not flooded with connections.
const MAX_REPLACED: usize = 3;

/// The connections that were replaced and on which calls may still wait.
#[derive(Debug, Default)]
pub(super) struct ReplacedConnections(Vec<Weak<Activity>>);

impl ReplacedConnections {
    /// Counts this connection as replaced, or returns `false` if there are too many.
    pub(super) fn admit(&mut self, connection: &Weak<Activity>) -> bool {
        self.0.retain(|replaced| replaced.strong_count() > 0);
        if self.0.len() >= MAX_REPLACED {
            return false;
        }
        self.0.push(Weak::clone(connection));
        true
    }

    /// Forgets a connection that is used again.
    pub(super) fn forget(&mut self, connection: &Weak<Activity>) {
        self.0.retain(|replaced| !replaced.ptr_eq(connection));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn silence_limit_grows_with_latency() {
        let millis = Duration::from_millis;
        for (latency, expected) in [(0, 1000), (250, 1000), (500, 2000), (9000, 3000)] {
            assert_eq!(silence_limit(MIN_SILENCE, millis(latency)), millis(expected), "{latency}");
        }
    }

    #[test]
    fn few_silent_connections_are_replaced_at_a_time() {
        let mut replaced = ReplacedConnections::default();
        let waiting: Vec<_> = (0..MAX_REPLACED).map(|_| Arc::new(Activity::new())).collect();
        assert!(waiting.iter().all(|one| replaced.admit(&Arc::downgrade(one))));
        let next = Arc::new(Activity::new());
        assert!(!replaced.admit(&Arc::downgrade(&next)));
        replaced.forget(&Arc::downgrade(&waiting[0]));
        assert!(replaced.admit(&Arc::downgrade(&waiting[0])));
        assert!(!replaced.admit(&Arc::downgrade(&next)));
        drop(waiting);
        assert!(replaced.admit(&Arc::downgrade(&next)));
    }
}
