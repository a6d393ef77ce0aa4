//! One task per store produces the hints of all its watches, by reading what was signalled since
//! the last read.
//!
//! The kernel notifies it when a change is announced ([`notification`](super::notification)), and it
//! reads at once. Every few seconds it also checks for changes that were not announced, such as
//! those of an earlier version of this crate. Once it has found one, or if the file cannot be
//! watched, it polls: twenty times a second it asks the file system when the database was written,
//! which costs next to nothing, and reads the database only if it was. It polls less often under
//! load and when many heartbeats are written; a hint then takes up to 0.4 s.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::calls::Sqlite;
use super::file::DatabaseFile;
use super::notification::FileWatch;
use crate::Result;
use crate::shell::Hints;
use crate::sql::row::get;

/// While the watch polls, a hint takes at most this long in ordinary operation.
pub(super) const INTERVAL: Duration = Duration::from_millis(50);

/// While the watch relies on announcements, it checks for others at this interval.
const UNANNOUNCED_INTERVAL: Duration = Duration::from_secs(5);

/// After a change that was not announced, the watch polls for this long.
const POLL_AFTER_UNANNOUNCED: Duration = Duration::from_secs(60);

/// The table is read at least this often, in case a file system does not report when a file was
/// written.
const MAX_UNREAD: Duration = Duration::from_secs(5);

/// While the watch polls, reads take at most a twentieth of the time: the pause after a read is this
/// many times as long. Reads after announcements find something, and take at most a fifth.
const MAX_LOAD_FACTOR: u32 = 19;
const MAX_ANNOUNCED_LOAD_FACTOR: u32 = 4;
const MAX_REST: Duration = Duration::from_secs(2);

/// The pause is doubled at most this often while reads find nothing although the database was
/// written.
const MAX_EMPTY_READS: u32 = 3;

/// Reports what is signalled until the database can no longer be read.
pub(super) async fn poll(store: &Sqlite, hints: &Hints) -> Result<()> {
    // The file is watched before the latest signal is read, so that no change is missed in between.
    let watch = watch_file(store);
    let mut seen = store.latest_signal().await?;
    hints.listening();
    let (mut pause, mut empty_reads) = (INTERVAL, 0);
    let (mut written, mut changed, mut read) = (None, true, Instant::now());
    let mut polls_until = Instant::now();
    loop {
        let relies_on_announcements = watch.is_some() && polls_until <= Instant::now();
        let limit = if relies_on_announcements { UNANNOUNCED_INTERVAL } else { pause };
        let is_announced = tokio::select! {
            biased;
            () = announced(watch.as_ref()) => true,
            () = sleep(limit.mul_f64(0.75 + fastrand::f64() / 4.0)) => false,
        };
        let now = store.file.as_ref().map(DatabaseFile::written);
        let as_before = now.is_some() && now == written;
        // The times of a file system are coarse: a write right after a read may leave the same
        // time. So each read after a change is followed by another one.
        if as_before && !changed && !is_announced && read.elapsed() < MAX_UNREAD {
            (pause, empty_reads) = (INTERVAL, 0);
            continue;
        }
        (written, changed, read) = (now, !as_before, Instant::now());
        #[cfg(test)]
        store.reads.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let rows = store.signals_after(seen).await?;
        for row in &rows {
            hints.send(store.hint(row).await);
            seen = get(row, "signal").unwrap_or(seen);
        }
        let took = read.elapsed();
        if is_announced {
            sleep((took * MAX_ANNOUNCED_LOAD_FACTOR).min(MAX_REST)).await;
            continue;
        }
        // Most writes are heartbeats; if there are many, not each of them causes a read.
        empty_reads =
            if now.is_some() && rows.is_empty() { MAX_EMPTY_READS.min(empty_reads + 1) } else { 0 };
        pause = (took * MAX_LOAD_FACTOR).min(MAX_REST).max(INTERVAL * (1 << empty_reads));
        if watch.is_some() && !rows.is_empty() {
            polls_until = Instant::now() + POLL_AFTER_UNANNOUNCED;
        }
    }
}

/// Watches the database file, if there is one and the system allows it.
fn watch_file(store: &Sqlite) -> Option<FileWatch> {
    let watch = FileWatch::new(store.file.as_ref()?.path());
    watch
        .inspect_err(|error| {
            tracing::debug!(
                %error,
                "cannot watch the database file, which is polled instead; is \
                 fs.inotify.max_user_instances large enough?"
            );
        })
        .ok()
}

/// Waits for an announcement; without a watch this waits forever.
async fn announced(watch: Option<&FileWatch>) {
    match watch {
        Some(watch) => watch.announced().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::Ordering;

    use futures_util::StreamExt;
    use tokio::time::timeout;

    use super::super::SqliteStore;
    use super::*;
    use crate::{
        AcquireOptions, DisableOptions, Hint, Holder, LeaseId, LockName, LockStore, OpenOptions,
        Reason, RenewOptions,
    };

    const HANG: Duration = Duration::from_secs(60);

    async fn open(path: &Path) -> SqliteStore {
        SqliteStore::open(path, &OpenOptions::default()).await.unwrap()
    }

    fn reads(store: &SqliteStore) -> usize {
        store.backend().reads.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn watches_share_one_poller_that_reads_only_after_writes() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder.path().join("x.db")).await;
        let mut watches = Vec::new();
        for _ in 0..50 {
            let mut hints = store.watch().await.unwrap();
            watches.push(tokio::spawn(async move { hints.next().await }));
        }
        // Separate watches would each read twenty times in that time.
        sleep(Duration::from_secs(1)).await;
        let reads = reads(&store);
        assert!(reads < 20, "{reads} reads of what was not written");
        let name = LockName::new("a").unwrap();
        let disable = DisableOptions::new(Reason::new("x").unwrap());
        store.disable(&name, &disable).await.unwrap();
        for watch in watches {
            let hint = timeout(HANG, watch).await.unwrap().unwrap();
            assert_eq!(hint, Some(Hint::Name(name.clone())));
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn heartbeats_of_other_stores_cause_no_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let (one, two) = (open(&path).await, open(&path).await);
        let name = LockName::new("a").unwrap();
        let (lease, ttl) = (LeaseId::new(), Duration::from_secs(3600));
        let options = AcquireOptions::new(lease, Holder::current(), ttl);
        one.acquire(&name, &options).await.unwrap();
        let begun = Instant::now();
        let mut hints = two.watch().await.unwrap();
        while begun.elapsed() < Duration::from_secs(2) {
            one.renew(&[RenewOptions::new(name.clone(), lease, ttl)]).await.unwrap();
            sleep(Duration::from_millis(10)).await;
        }
        let checks = begun.elapsed().div_duration_f64(UNANNOUNCED_INTERVAL * 3 / 4);
        let reads = reads(&two);
        assert!(reads as f64 <= checks, "{reads} reads, and {checks} checks");
        one.release(&name, lease).await.unwrap();
        let hint = timeout(HANG, hints.next()).await.unwrap();
        assert_eq!(hint, Some(Hint::Name(name)));
    }
}
