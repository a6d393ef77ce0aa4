//! Readiness says whether the store responds, and is cached for a moment.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// A result is cached for this long, so the number of requests does not matter to the store.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// The cache has whether the store responded at the latest check.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, bool)>>);

impl Readiness {
    /// Returns the cached result, or else awaits `ask` and caches its result. Concurrent callers
    /// wait for the one that asks.
    pub(crate) async fn get_or(&self, ask: impl Future<Output = bool>) -> bool {
        let mut last = self.0.lock().await;
        if let Some((_, ready)) = last.filter(|(at, _)| at.elapsed() < GOOD_FOR) {
            return ready;
        }
        let ready = ask.await;
        *last = Some((Instant::now(), ready));
        ready
    }
}
