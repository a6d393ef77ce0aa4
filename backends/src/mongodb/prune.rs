//! Removes the documents of unused names.
//!
//! The token of a grant is at least the server's time of the grant, so it shows the age of the
//! grant. A document is removed only while its token is below the server's time: the token of the
//! next grant is at least that time, and so is larger.

use std::time::Duration;

use mongodb::bson::doc;
use tokio::time::sleep;

use super::collection::COMMAND_LIMIT;
use super::commands::Mongo;
use super::permits::PermitKind;
use super::{error_codes, pipeline, record};
use crate::common::timeout::{read_timeout, write_timeout};
use crate::shell::{Found, Page};
use crate::{LockName, Result};

/// The token of a grant in the current millisecond is not yet below the server's time.
const PAUSE: Duration = Duration::from_millis(2);

/// At most this many names are checked together.
const PAGE: usize = 500;

impl Mongo {
    /// Removes the unused names of a page, each in one operation.
    pub(super) async fn prune(
        &self,
        page: &Page<'_>,
        unused_for: Duration,
        dry_run: bool,
    ) -> Result<Found<LockName>> {
        sleep(PAUSE).await;
        let limit = page.limit.min(PAGE);
        let after = page.after.map(String::from_utf8_lossy);
        let stages = pipeline::unused(after.as_deref(), unused_for, limit);
        let found = read_timeout(self.read_locks(PermitKind::Other, stages, limit)).await?;
        let mut entries = Vec::new();
        for document in &found {
            // A document without a valid name is left unchanged.
            let Ok(name) = record::name(document, self.locks()) else { continue };
            if dry_run || write_timeout(self.remove(&name, unused_for)).await? {
                entries.push(name);
            }
        }
        let last = found.last().filter(|_| found.len() >= limit);
        let next = last.and_then(|last| last.get_str("_id").ok());
        Ok(Found { entries, next: next.map(|name| name.as_bytes().to_vec()) })
    }

    /// Removes the name if it is still unused, and returns whether it was removed.
    async fn remove(&self, name: &LockName, unused_for: Duration) -> Result<bool> {
        let filter = pipeline::if_unused(name, unused_for);
        let removed = self.run(Some(PermitKind::Other), |at| async move {
            let remove = at.locks.find_one_and_delete(filter).projection(doc! { "_id": 1 });
            remove.max_time(COMMAND_LIMIT).await
        });
        removed.await?.map(|removed| removed.is_some()).map_err(error_codes::writing)
    }
}
