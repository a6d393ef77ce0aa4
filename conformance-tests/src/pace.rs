//! Measures how long this machine stalls. If a case depends on a lease that heartbeats keep, a
//! stall that is longer than the lease allows makes the case fail although the store is correct.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio_util::task::AbortOnDropHandle;

/// Measures, until it is dropped, how late tasks of this runtime run.
pub(crate) struct StallMeter {
    longest: Arc<AtomicU64>,
    _measuring: AbortOnDropHandle<()>,
}

impl StallMeter {
    const STEP: Duration = Duration::from_millis(10);

    /// Starts to measure.
    pub(crate) fn start() -> Self {
        let longest = Arc::new(AtomicU64::new(0));
        let found = Arc::clone(&longest);
        let measuring = tokio::spawn(async move {
            loop {
                let due = Instant::now() + Self::STEP;
                tokio::time::sleep(Self::STEP).await;
                let late = due.elapsed().as_micros();
                found.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { longest, _measuring: AbortOnDropHandle::new(measuring) }
    }

    /// Returns the longest delay so far.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_micros(self.longest.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_blocked_runtime_is_measured() {
        let meter = StallMeter::start();
        tokio::time::sleep(StallMeter::STEP).await;
        std::thread::sleep(StallMeter::STEP * 10);
        tokio::time::sleep(StallMeter::STEP).await;
        assert!(meter.longest() >= StallMeter::STEP * 5, "{:?}", meter.longest());
    }
}
