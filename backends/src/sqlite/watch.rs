//! One task per store produces the hints of all its watches, by reading what was signalled since
//! the last read.
//!
//! Twenty times a second the task asks the file system when the database was written, which costs
//! next to nothing, and reads the database only if it was. It reads less often under load and when
//! many heartbeats are written; a hint then takes up to 0.4 s.

use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use tokio::time::{Instant, sleep};

use super::calls::Sqlite;
use super::file::DatabaseFile;
use super::row;
use crate::shell::Hints;
use crate::sql::row::get;
use crate::{Hint, Result};

/// In ordinary operation a hint takes at most this long.
pub(super) const INTERVAL: Duration = Duration::from_millis(50);

/// The table is read at least this often, in case a file system does not report when a file was
/// written.
const MAX_UNREAD: Duration = Duration::from_secs(5);

/// Reads take at most a twentieth of the time: the pause after a read is this many times as long.
const MAX_LOAD_FACTOR: u32 = 19;
const MAX_REST: Duration = Duration::from_secs(2);

/// The pause is doubled at most this often while reads find nothing although the database was
/// written.
const MAX_EMPTY_READS: u32 = 3;

/// Reports what is signalled until the database can no longer be read.
pub(super) async fn poll(store: &Sqlite, hints: &Hints) -> Result<()> {
    let mut seen = store.latest_signal().await?;
    hints.listening();
    let (mut pause, mut empty_reads) = (INTERVAL, 0);
    let (mut written, mut changed, mut read) = (None, true, Instant::now());
    loop {
        sleep(pause.mul_f64(0.75 + fastrand::f64() / 4.0)).await;
        let now = store.file.as_ref().map(DatabaseFile::written);
        let as_before = now.is_some() && now == written;
        // The times of a file system are coarse: a write right after a read may leave the same
        // time. So each read after a change is followed by another one.
        if as_before && !changed && read.elapsed() < MAX_UNREAD {
            (pause, empty_reads) = (INTERVAL, 0);
            continue;
        }
        (written, changed, read) = (now, !as_before, Instant::now());
        #[cfg(test)]
        store.reads.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let rows = store.signals_after(seen).await?;
        // Most writes are heartbeats; if there are many, not each of them causes a read.
        empty_reads =
            if now.is_some() && rows.is_empty() { MAX_EMPTY_READS.min(empty_reads + 1) } else { 0 };
        let rest = (read.elapsed() * MAX_LOAD_FACTOR).min(MAX_REST);
        pause = rest.max(INTERVAL * (1 << empty_reads));
        for row in &rows {
            hints.send(hint(row, store));
            seen = get(row, "signal").unwrap_or(seen);
        }
    }
}

fn hint(row: &SqliteRow, store: &Sqlite) -> Hint {
    row::name(row, &store.sql.statements.table).map_or(Hint::Anything, Hint::Name)
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
        let reads = store.backend().reads.load(Ordering::SeqCst);
        assert!(reads < 20, "{reads} reads of what was not written");
        let name = LockName::new("a").unwrap();
        let disable = DisableOptions::new(Reason::new("x").unwrap());
        store.disable(&name, &disable).await.unwrap();
        for watch in watches {
            let hint = timeout(Duration::from_secs(30), watch).await.unwrap().unwrap();
            assert_eq!(hint, Some(Hint::Name(name.clone())));
        }
    }
}
