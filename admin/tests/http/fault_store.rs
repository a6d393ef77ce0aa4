//! This store fails on command, and loses records on command.

use std::collections::BTreeSet;
use std::sync::Mutex;

use leasehold_core::{
    AcquireOptions, AcquireOutcome, Capabilities, DisableOptions, DisableOutcome, EnableOutcome,
    Error, ErrorKind, HintStream, LeaseId, ListOptions, LockName, LockRecord, LockStore,
    MemoryStore, PruneOptions, ReleaseOutcome, RenewOptions, RenewOutcome, Result, async_trait,
};
use tokio::sync::watch;

/// A fault store is a memory store with injected faults.
#[derive(Debug, Default)]
pub(crate) struct FaultStore {
    inner: MemoryStore,
    fault: Mutex<Option<ErrorKind>>,
    gone: Mutex<BTreeSet<String>>,
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
        self.gone.lock().unwrap().insert(name.to_owned());
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
impl LockStore for FaultStore {
    fn label(&self) -> &str {
        "faults"
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn acquire(&self, name: &LockName, options: &AcquireOptions) -> Result<AcquireOutcome> {
        self.check()?;
        self.inner.acquire(name, options).await
    }
    async fn renew(&self, leases: &[RenewOptions]) -> Result<Vec<RenewOutcome>> {
        self.check()?;
        self.inner.renew(leases).await
    }
    async fn release(&self, name: &LockName, lease: LeaseId) -> Result<ReleaseOutcome> {
        self.check()?;
        self.inner.release(name, lease).await
    }
    async fn disable(&self, name: &LockName, options: &DisableOptions) -> Result<DisableOutcome> {
        self.check()?;
        self.inner.disable(name, options).await
    }
    async fn enable(&self, name: &LockName) -> Result<EnableOutcome> {
        self.check()?;
        self.inner.enable(name).await
    }
    async fn get(&self, name: &LockName) -> Result<Option<LockRecord>> {
        self.check()?;
        Ok(self.inner.get(name).await?.map(|record| self.as_read(record)))
    }
    async fn list(&self, options: &ListOptions) -> Result<Vec<LockRecord>> {
        let _ = self.hangs.subscribe().wait_for(|hangs| !hangs).await;
        self.check()?;
        let mut records = self.inner.list(options).await?;
        let gone = self.gone.lock().unwrap();
        records.retain(|record| !gone.contains(record.name.as_str()));
        Ok(records.into_iter().map(|record| self.as_read(record)).collect())
    }
    async fn prune(&self, options: &PruneOptions) -> Result<Vec<LockName>> {
        self.check()?;
        self.inner.prune(options).await
    }

    async fn watch(&self) -> Result<HintStream> {
        let _ = self.hangs.subscribe().wait_for(|hangs| !hangs).await;
        self.check()?;
        self.inner.watch().await
    }
}
