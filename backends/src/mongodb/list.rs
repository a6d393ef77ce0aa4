//! Lists the records of names, a page at a time.

use super::permits::PermitKind;
use super::shared::MongoInner;
use super::{pipeline, record};
use crate::{ListOptions, LockRecord, Result};

impl MongoInner {
    pub(super) async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        let mut after = options.after.as_ref().map(ToString::to_string);
        let mut records = Vec::new();
        while records.len() < options.limit {
            let count = options.limit - records.len();
            let limit = i64::try_from(count).unwrap_or(i64::MAX);
            let stages = pipeline::list(&options.prefix, after.as_deref(), limit);
            let found = self.read(PermitKind::Other, stages, count).await?;
            for document in &found {
                // Names with the same prefix are adjacent, so any others are at the end.
                if !document.get_str("_id").is_ok_and(|name| name.starts_with(&options.prefix)) {
                    return Ok(records);
                }
                match (record::name(document, self.locks()), self.with_time(document)) {
                    (Ok(_), Ok(record)) => records.push(record),
                    (Ok(name), Err(error)) => records.push(LockRecord::unreadable(name, &error)),
                    // The document has no readable name, so it is left out of the listing.
                    (Err(error), _) => {
                        tracing::error!(%error, store = self.label, "a document cannot be listed");
                    }
                }
            }
            after = found.last().and_then(|last| last.get_str("_id").ok()).map(str::to_owned);
            if found.len() < count {
                break;
            }
        }
        Ok(records)
    }
}
