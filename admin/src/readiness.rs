//! Whether the store answers, remembered for a moment.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// The store is asked no more often than this, however many requests ask for readiness.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// Remembers whether the store answered when it was last asked.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, bool)>>);

impl Readiness {
    /// Returns the answer of a moment ago, or else awaits `ask` and remembers its answer.
    /// Concurrent callers wait for the one that asks.
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
