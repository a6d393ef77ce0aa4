//! Readiness says whether the store responds, and is cached for a moment.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// A result is cached for this long, so that many requests cause few calls to the store.
const CACHE_TIME: Duration = Duration::from_secs(1);

/// The cache says whether the store responded at the latest check.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, bool)>>);

impl Readiness {
    /// Returns the cached result, or else awaits `check` and caches its result. Concurrent callers
    /// wait for the one that checks.
    pub(crate) async fn get_or(&self, check: impl Future<Output = bool>) -> bool {
        let mut last = self.0.lock().await;
        if let Some((_, ready)) = last.filter(|(at, _)| at.elapsed() < CACHE_TIME) {
            return ready;
        }
        let ready = check.await;
        *last = Some((Instant::now(), ready));
        ready
    }
}
