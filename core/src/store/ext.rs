//! This extension trait has convenience methods for every store.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Error, ErrorKind, LeaseId, ListOptions, LockName, LockRecord, LockStore, RenewOptions,
    RenewOutcome, Result,
};

/// This extension trait has convenience methods for every store, which use only the methods of
/// [`LockStore`].
#[async_trait]
pub trait LockStoreExt: LockStore {
    /// Extends one lease.
    ///
    /// # Errors
    /// This fails for the same reasons as [`renew`](LockStore::renew).
    async fn renew_one(
        &self,
        name: &LockName,
        lease: LeaseId,
        ttl: Duration,
    ) -> Result<RenewOutcome> {
        let renewal = RenewOptions::new(name.clone(), lease, ttl);
        only(self.renew(&[renewal]).await?, name, self.label())
    }

    /// Extends one entry of a queue.
    ///
    /// # Errors
    /// This fails for the same reasons as [`renew`](LockStore::renew).
    async fn renew_entry(
        &self,
        name: &LockName,
        lease: LeaseId,
        ttl: Duration,
    ) -> Result<RenewOutcome> {
        let renewal = RenewOptions::new(name.clone(), lease, ttl).of_entry(true);
        only(self.renew(&[renewal]).await?, name, self.label())
    }

    /// Reads all records whose names start with `prefix`, page after page.
    ///
    /// A name that is created or removed during the call may or may not be included.
    ///
    /// # Errors
    /// This fails for the same reasons as [`list`](LockStore::list).
    async fn list_all(&self, prefix: &str) -> Result<Vec<LockRecord>> {
        let mut records = Vec::new();
        let mut page = ListOptions { prefix: prefix.to_owned(), ..ListOptions::default() };
        loop {
            let found = self.list(&page).await?;
            let full = found.len() >= page.limit;
            page.after = found.last().map(|record| record.name.clone());
            records.extend(found);
            if !full {
                return Ok(records);
            }
        }
    }
}

impl<S: LockStore + ?Sized> LockStoreExt for S {}

/// Returns the outcome of the only renewal of a batch.
fn only(outcomes: Vec<RenewOutcome>, name: &LockName, store: &str) -> Result<RenewOutcome> {
    outcomes.into_iter().next().ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, "the store returned no answer for the renewal")
            .for_lock(name)
            .on_store(store)
    })
}
