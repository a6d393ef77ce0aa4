//! The floor of a hand-over: a conditional write of the bare driver to acquire, one that notifies to
//! release, and a listener.
//!
//! A waiter that is refused waits for a notification and writes again. Failed calls are not
//! retried, and nothing is renewed. Only servers that notify have this floor.

mod etcd;
mod postgres;
mod redis;
mod server;

use std::sync::Arc;

use anyhow::{Result, bail};
use async_trait::async_trait;
use server::{Notified, NotifyingServer};

use super::FLOOR;
use crate::contender::{LockLibrary, Release};
use crate::url::scheme;

struct HandOver {
    server: Arc<dyn NotifyingServer>,
    notified: Notified,
}

/// Returns whether there is a floor of a hand-over on that server.
pub(crate) fn exists(url: &str) -> bool {
    matches!(scheme(url), "postgres" | "redis" | "etcd")
}

/// Opens the floor on that server.
pub(crate) async fn open(url: &str) -> Result<Arc<dyn LockLibrary>> {
    let notified = Notified::default();
    let server: Arc<dyn NotifyingServer> = match scheme(url) {
        "postgres" => Arc::new(postgres::open(url, notified.clone()).await?),
        "redis" => Arc::new(redis::open(url, notified.clone()).await?),
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

    fn max_waiters(&self) -> usize {
        MAX_WAITERS
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

/// The floor is measured with fewer waiters than this: a notification wakes all of them, so only a
/// hand-over to a single one is a floor.
pub(crate) const MAX_WAITERS: usize = 2;
