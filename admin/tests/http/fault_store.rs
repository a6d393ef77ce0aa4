//! A test tells this store to fail or to lose records.

use std::collections::BTreeSet;
use std::sync::Mutex;

use leasehold_core::intercept::{Interceptor, Reply, Request};
use leasehold_core::{Error, ErrorKind, LockRecord, LockStore, MemoryStore, Result, async_trait};
use tokio::sync::watch;

/// A fault store is a memory store with injected faults.
#[derive(Debug, Default)]
pub(crate) struct FaultStore {
    inner: MemoryStore,
    fault: Mutex<Option<ErrorKind>>,
    removed: Mutex<BTreeSet<String>>,
    corrupt: Mutex<BTreeSet<String>>,
    hangs: watch::Sender<bool>,
}

impl FaultStore {
    /// Makes every call fail with that kind from now on; `None` ends the failures.
    pub(crate) fn fail(&self, kind: impl Into<Option<ErrorKind>>) {
        *self.fault.lock().unwrap() = kind.into();
    }

    /// Removes that name from every list from now on, as if its record had been deleted.
    pub(crate) fn forget(&self, name: &str) {
        self.removed.lock().unwrap().insert(name.to_owned());
    }

    /// Makes the record of that name unreadable from now on.
    pub(crate) fn corrupt(&self, name: &str) {
        self.corrupt.lock().unwrap().insert(name.to_owned());
    }

    fn as_read(&self, record: LockRecord) -> LockRecord {
        if self.corrupt.lock().unwrap().contains(record.name.as_str()) {
            let error = Error::new(ErrorKind::Corrupt, "the token is not a number");
            return LockRecord::unreadable(record.name, &error);
        }
        record
    }

    /// Sets whether the store hangs: then no list gets a reply, and no watch opens.
    pub(crate) fn hang(&self, hangs: bool) {
        self.hangs.send_replace(hangs);
    }

    fn check(&self) -> Result<()> {
        match *self.fault.lock().unwrap() {
            Some(kind) => Err(Error::new(kind, "injected failure")),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Interceptor for FaultStore {
    fn inner(&self) -> &dyn LockStore {
        &self.inner
    }

    fn store_label(&self) -> &str {
        "faults"
    }

    async fn intercept(&self, request: Request) -> Result<Reply> {
        match request {
            Request::Announce(..) | Request::Withdraw(_) | Request::Instances => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "the store does not support instance records",
                ));
            }
            Request::List(_) | Request::Watch => {
                let _ = self.hangs.subscribe().wait_for(|hangs| !hangs).await;
            }
            _ => {}
        }
        self.check()?;
        let mut reply = request.send_to(&self.inner).await?;
        match &mut reply {
            Reply::Get(record) => *record = record.take().map(|record| self.as_read(record)),
            Reply::List(records) => {
                let removed = self.removed.lock().unwrap();
                records.retain(|record| !removed.contains(record.name.as_str()));
                let found = std::mem::take(records);
                *records = found.into_iter().map(|record| self.as_read(record)).collect();
            }
            _ => {}
        }
        Ok(reply)
    }
}
