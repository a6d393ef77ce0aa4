//! The floor of a hand-over: a conditional write of the bare driver to acquire, one that notifies to
//! release, and a listener.
//!
//! A waiter that is refused waits for a notification and writes again. A notification wakes all
//! waiters, and one of them gets the lock; only MySQL and MariaDB wake one at a time. Failed calls
//! are not retried, and nothing is renewed.

mod etcd;
mod mongodb;
mod mysql;
mod postgres;
mod redis;
mod server;
#[cfg(target_os = "linux")]
mod sqlite;

use std::sync::Arc;

use anyhow::{Result, bail};
use async_trait::async_trait;
use server::{Notified, NotifyingServer};

use super::FLOOR;
use crate::contender::{LockLibrary, Release};
use crate::url::scheme;

/// The floor is measured with at most this many waiters. In Leasehold one waiter per process asks,
/// so rows with more waiters in ten processes can be compared with the row of ten waiters.
pub(crate) const MAX_WAITERS: usize = 10;

struct HandOver {
    server: Arc<dyn NotifyingServer>,
    notified: Notified,
}

/// Returns whether there is a floor of a hand-over on that server. For SQLite it needs inotify.
pub(crate) fn exists(url: &str) -> bool {
    scheme(url) != "sqlite" || cfg!(target_os = "linux")
}

/// Opens the floor on that server.
pub(crate) async fn open(url: &str) -> Result<Arc<dyn LockLibrary>> {
    let notified = Notified::default();
    let server: Arc<dyn NotifyingServer> = match scheme(url) {
        #[cfg(target_os = "linux")]
        "sqlite" => Arc::new(sqlite::open(url, notified.clone()).await?),
        "postgres" => Arc::new(postgres::open(url, notified.clone()).await?),
        // The server itself wakes one waiter at a time.
        "mysql" => return Ok(Arc::new(mysql::open(url).await?)),
        "redis" => Arc::new(redis::open(url, notified.clone()).await?),
        "mongodb" => Arc::new(mongodb::open(url, notified.clone()).await?),
        "etcd" => Arc::new(etcd::open(url, notified.clone()).await?),
        other => bail!("{other} does not notify"),
    };
    Ok(Arc::new(HandOver { server, notified }))
}

#[async_trait]
impl LockLibrary for HandOver {
    fn name(&self) -> &str {
        FLOOR
    }

    async fn acquire(&self, lock: &str) -> Result<Release> {
        loop {
            // This wait begins before the attempt, so that no notification is missed in between.
            let notified = self.notified.notified();
            if self.server.set(lock).await? {
                let (server, lock) = (self.server.clone(), lock.to_owned());
                return Ok(Box::pin(async move { server.unset(&lock).await }));
            }
            notified.await;
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    const HANG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn the_floor_on_sqlite_hands_over_several_times() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("locks.db").display());
        let floors = [open(&url).await.unwrap(), open(&url).await.unwrap()];
        let mut release = floors[0].acquire("a").await.unwrap();
        for hand_over in 1..=4 {
            let next = floors[hand_over % 2].clone();
            let waiter = tokio::spawn(async move { next.acquire("a").await });
            sleep(Duration::from_millis(20)).await;
            assert!(!waiter.is_finished(), "hand-over {hand_over}");
            release.await.unwrap();
            release = timeout(HANG, waiter).await.unwrap().unwrap().unwrap();
        }
        release.await.unwrap();
    }
}
