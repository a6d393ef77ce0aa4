//! Hints by looking again, twenty times a second, at what was signalled since.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use sqlx::sqlite::SqliteRow;
use tokio::time::sleep;

use super::row;
use super::shared::Shared;
use crate::common::row::get;
use crate::{Hint, HintStream, Result};

/// How long a hint takes at most, in ordinary operation.
pub(super) const INTERVAL: Duration = Duration::from_millis(50);

/// The longest pause between attempts while the database cannot be read.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

struct Watch {
    shared: Arc<Shared>,
    /// The latest signal that was turned into a hint.
    seen: i64,
    hints: VecDeque<Hint>,
    pause: Duration,
}

/// Hints at everything that is signalled after `seen`.
pub(super) fn hints(shared: Arc<Shared>, seen: i64) -> HintStream {
    let watch = Watch { shared, seen, hints: VecDeque::new(), pause: INTERVAL };
    Box::pin(stream::unfold(watch, Watch::next))
}

impl Watch {
    async fn next(mut self) -> Option<(Hint, Self)> {
        loop {
            if let Some(hint) = self.hints.pop_front() {
                return Some((hint, self));
            }
            if self.shared.pool.is_closed() {
                return None;
            }
            sleep(self.pause).await;
            match self.look().await {
                Ok(rows) => self.learn(&rows),
                Err(error) => {
                    if self.pause == INTERVAL {
                        tracing::warn!(%error, "the watch cannot read the SQLite database");
                    }
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Runs in a task of its own: a stream that is not polled for a while must not keep a
    /// connection meanwhile, which may be the only one.
    async fn look(&self) -> Result<Vec<SqliteRow>> {
        let (shared, seen) = (Arc::clone(&self.shared), self.seen);
        match tokio::spawn(async move { shared.signals_after(seen).await }).await {
            Ok(rows) => rows,
            // The runtime is shutting down; the pool says so soon enough.
            Err(_) => Ok(Vec::new()),
        }
    }

    fn learn(&mut self, rows: &[SqliteRow]) {
        if self.pause > INTERVAL {
            self.pause = INTERVAL;
            self.hints.push_back(Hint::Anything);
        }
        for row in rows {
            let name = row::name(row, &self.shared.sql.table);
            self.hints.push_back(name.map_or(Hint::Anything, Hint::Name));
            self.seen = get(row, "signal").unwrap_or(self.seen);
        }
    }
}
