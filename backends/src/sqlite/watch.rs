//! Hints by reading what was signalled since the last read: one task per store, for all its
//! watches.
//!
//! Twenty times a second the task asks the file system when the database was written, which costs
//! next to nothing, and reads the database only if it was. It reads less often under load and when
//! many heartbeats are written; a hint then takes up to 0.4 s.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use sqlx::sqlite::SqliteRow;
use tokio::sync::broadcast::{self, Receiver, Sender, WeakSender, error::RecvError};
use tokio::time::{Instant, sleep};

use super::row;
use super::shared::SqliteInner;
use crate::common::row::get;
use crate::{Hint, HintStream, Result};

/// How long a hint takes at most, in ordinary operation.
pub(super) const INTERVAL: Duration = Duration::from_millis(50);

/// The longest pause between attempts while the database cannot be read.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// The longest time without a read, in case a file system does not report when a file was written.
const MAX_UNREAD: Duration = Duration::from_secs(5);

/// Reads take at most a twentieth of the time: the pause after a read is this many times as long.
const MAX_LOAD_FACTOR: u32 = 19;
const MAX_REST: Duration = Duration::from_secs(2);

/// The pause is doubled at most this often while reads find nothing although the database was
/// written.
const MAX_EMPTY_READS: u32 = 3;

/// A watch may lag by this many hints; one that lags further gets [`Hint::Anything`].
const HINT_BUFFER: usize = 1024;

struct PollSubscriber {
    shared: Arc<SqliteInner>,
    hints: Receiver<Hint>,
}

/// Returns hints for everything that is signalled from now on.
pub(super) async fn hints(shared: &Arc<SqliteInner>) -> Result<HintStream> {
    let hints = join_poll(shared).await?;
    let watch = PollSubscriber { shared: Arc::clone(shared), hints };
    Ok(Box::pin(stream::unfold(watch, PollSubscriber::next)))
}

async fn join_poll(shared: &Arc<SqliteInner>) -> Result<Receiver<Hint>> {
    if let Some(hints) = shared.poll.join() {
        return Ok(hints);
    }
    let seen = shared.latest_signal().await?;
    let mut slot = shared.poll.slot();
    // Another watch may have started the task at the same time.
    if let Some(hints) = slot.as_ref().and_then(WeakSender::upgrade) {
        return Ok(hints.subscribe());
    }
    let (sender, receiver) = broadcast::channel(HINT_BUFFER);
    *slot = Some(sender.downgrade());
    tokio::spawn(poll(Arc::clone(shared), seen, sender));
    Ok(receiver)
}

impl PollSubscriber {
    async fn next(mut self) -> Option<(Hint, Self)> {
        loop {
            match self.hints.recv().await {
                Ok(hint) => return Some((hint, self)),
                Err(RecvError::Lagged(_)) => return Some((Hint::Anything, self)),
                Err(RecvError::Closed) => {}
            }
            if self.shared.pool.is_closed() {
                return None;
            }
            // The polling task has ended with its runtime, and starts again in this one.
            sleep(INTERVAL).await;
            if let Ok(hints) = join_poll(&self.shared).await {
                self.hints = hints;
                return Some((Hint::Anything, self));
            }
            sleep(MAX_BACKOFF).await;
        }
    }
}

/// Reads until no watch is left, or the pool is closed.
async fn poll(shared: Arc<SqliteInner>, mut seen: i64, hints: Sender<Hint>) {
    let (mut pause, mut failing, mut vain) = (INTERVAL, false, 0);
    let (mut written, mut changed, mut read) = (None, true, Instant::now());
    loop {
        tokio::select! {
            () = sleep(pause.mul_f64(0.75 + fastrand::f64() / 4.0)) => {}
            () = shared.pool.close_event() => return,
        }
        if shared.poll.ends(&hints) {
            return;
        }
        let now = shared.file.as_ref().map(super::file::DatabaseFile::written);
        let as_before = now.is_some() && now == written;
        // The times of a file system are coarse: a write right after a read may leave the same
        // time. So each read after a change is followed by another one.
        if as_before && !changed && !failing && read.elapsed() < MAX_UNREAD {
            (pause, vain) = (INTERVAL, 0);
            continue;
        }
        (written, changed, read) = (now, !as_before, Instant::now());
        #[cfg(test)]
        shared.poll.reads.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        match shared.signals_after(seen).await {
            Ok(rows) => {
                if std::mem::take(&mut failing) {
                    _ = hints.send(Hint::Anything);
                }
                // Most writes are heartbeats; if there are many, not each of them causes a read.
                vain = if now.is_some() && rows.is_empty() {
                    MAX_EMPTY_READS.min(vain + 1)
                } else {
                    0
                };
                let rest = (read.elapsed() * MAX_LOAD_FACTOR).min(MAX_REST);
                pause = rest.max(INTERVAL * (1 << vain));
                for row in &rows {
                    _ = hints.send(hint(row, &shared));
                    seen = get(row, "signal").unwrap_or(seen);
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) && !shared.pool.is_closed() {
                    tracing::warn!(%error, "the watch cannot read the SQLite database");
                }
                pause = (pause * 2).min(MAX_BACKOFF);
            }
        }
    }
}

fn hint(row: &SqliteRow, shared: &SqliteInner) -> Hint {
    row::name(row, &shared.sql.table).map_or(Hint::Anything, Hint::Name)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use futures_util::StreamExt;
    use tokio::time::timeout;

    use super::super::SqliteStore;
    use super::*;
    use crate::{DisableOptions, LockName, LockStore, OpenOptions, Reason};

    #[tokio::test]
    async fn watches_share_one_poller_that_reads_only_after_writes() {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions::default();
        let store = SqliteStore::open(folder.path().join("x.db"), &options);
        let store = store.await.unwrap();
        let mut watches = Vec::new();
        for _ in 0..50 {
            let mut hints = store.watch().await.unwrap();
            watches.push(tokio::spawn(async move { hints.next().await }));
        }
        // Separate watches would each read twenty times in that time.
        sleep(Duration::from_secs(1)).await;
        let reads = store.shared().poll.reads.load(Ordering::SeqCst);
        assert!(reads < 20, "{reads} reads of what was not written");
        let name = LockName::new("a").unwrap();
        let disable = DisableOptions { reason: Reason::new("x").unwrap(), by: None };
        store.disable(&name, &disable).await.unwrap();
        for watch in watches {
            let hint = timeout(Duration::from_secs(30), watch).await.unwrap().unwrap();
            assert_eq!(hint, Some(Hint::Name(name.clone())));
        }
    }
}
