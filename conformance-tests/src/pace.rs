//! Measures how long this machine or the server stalls. A case that depends on heartbeats fails
//! during a stall that is longer than its lease allows, although the store is correct.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use leasehold_core::{LockName, LockStore};
use tokio_util::task::AbortOnDropHandle;

/// Measures, until it is dropped, how late tasks of this runtime run, and how late a store replies.
pub(crate) struct StallMeter {
    longest: Arc<AtomicU64>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl StallMeter {
    const STEP: Duration = Duration::from_millis(10);

    /// The pause between two calls of the store.
    const CALL_INTERVAL: Duration = Duration::from_millis(50);

    /// Starts to measure. If a store is given, the name is read from it repeatedly.
    pub(crate) fn start(store: Option<(Arc<dyn LockStore>, LockName)>) -> Self {
        let longest = Arc::new(AtomicU64::new(0));
        let found = Arc::clone(&longest);
        let runtime = tokio::spawn(async move {
            loop {
                let due = Instant::now() + Self::STEP;
                tokio::time::sleep(Self::STEP).await;
                note(&found, due.elapsed());
            }
        });
        let found = Arc::clone(&longest);
        let server = tokio::spawn(async move {
            let Some((store, name)) = store else { return };
            loop {
                let begun = Instant::now();
                // The case itself reports an error of the store.
                _ = store.get(&name).await;
                note(&found, begun.elapsed());
                tokio::time::sleep(Self::CALL_INTERVAL).await;
            }
        });
        Self { longest, _tasks: [runtime, server].map(AbortOnDropHandle::new) }
    }

    /// Returns the longest delay so far.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_micros(self.longest.load(Ordering::Relaxed))
    }
}

fn note(longest: &AtomicU64, stall: Duration) {
    let stall = u64::try_from(stall.as_micros()).unwrap_or(u64::MAX);
    longest.fetch_max(stall, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use leasehold_core::intercept::{Interceptor, Reply, Request};
    use leasehold_core::{MemoryStore, Result, async_trait};

    use super::*;

    /// Replies late.
    #[derive(Debug, Default)]
    struct SlowStore(MemoryStore);

    #[async_trait]
    impl Interceptor for SlowStore {
        fn inner(&self) -> &dyn LockStore {
            &self.0
        }

        async fn intercept(&self, request: Request) -> Result<Reply> {
            tokio::time::sleep(StallMeter::STEP * 100).await;
            request.send_to(&self.0).await
        }
    }

    #[tokio::test]
    async fn a_slow_server_is_measured() {
        let name = LockName::new("pace").unwrap();
        let meter = StallMeter::start(Some((Arc::new(SlowStore::default()), name)));
        tokio::time::sleep(StallMeter::STEP * 150).await;
        assert!(meter.longest() >= StallMeter::STEP * 100, "{:?}", meter.longest());
    }

    #[tokio::test]
    async fn a_blocked_runtime_is_measured() {
        let meter = StallMeter::start(None);
        tokio::time::sleep(StallMeter::STEP).await;
        std::thread::sleep(StallMeter::STEP * 10);
        tokio::time::sleep(StallMeter::STEP).await;
        assert!(meter.longest() >= StallMeter::STEP * 5, "{:?}", meter.longest());
    }
}
