//! Removes the documents of unused names.
//!
//! The token of a grant is at least the server's time of the grant, so it tells how long ago that
//! was. A document is removed only while its token is below the server's time: the next grant,
//! whose token is at least that time, then has a larger one.

use std::time::Duration;

use mongodb::bson::doc;
use tokio::time::sleep;

use super::collection::COMMAND_LIMIT;
use super::permits::PermitKind;
use super::shared::MongoInner;
use super::{error, pipeline, record};
use crate::common::timeout::{read_timeout, write_timeout};
use crate::{LockName, PruneOptions, Result};

/// The token of a grant in the current millisecond is not yet below the server's time.
const PAUSE: Duration = Duration::from_millis(2);

/// The most names that are checked together.
const PAGE: usize = 500;

impl MongoInner {
    /// Removes a page of unused names, each in one operation, and returns them.
    pub(super) async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        sleep(PAUSE).await;
        let mut after = options.after.as_ref().map(ToString::to_string);
        let mut pruned = Vec::new();
        while pruned.len() < options.limit {
            let count = (options.limit - pruned.len()).min(PAGE);
            let stages = pipeline::unused(after.as_deref(), options.unused_for, count);
            let found = read_timeout(self.read(PermitKind::Other, stages, count)).await?;
            for document in &found {
                // A document without a valid name is left alone.
                let Ok(name) = record::name(document, self.locks()) else { continue };
                if options.dry_run || write_timeout(self.remove(&name, options.unused_for)).await? {
                    pruned.push(name);
                }
            }
            after = found.last().and_then(|last| last.get_str("_id").ok()).map(str::to_owned);
            if found.len() < count || after.is_none() {
                break;
            }
        }
        Ok(pruned)
    }

    /// Removes the name if it is still unused, and returns whether it did.
    async fn remove(&self, name: &LockName, unused_for: Duration) -> Result<bool> {
        let filter = pipeline::if_unused(name, unused_for);
        let removed = self.run(Some(PermitKind::Other), |at| async move {
            let remove = at.locks.find_one_and_delete(filter).projection(doc! { "_id": 1 });
            remove.max_time(COMMAND_LIMIT).await
        });
        removed.await?.map(|removed| removed.is_some()).map_err(error::writing)
    }
}
