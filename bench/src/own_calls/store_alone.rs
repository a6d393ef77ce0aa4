//! The store is called without the engine, so that the difference from a lock through `Client` is
//! the engine's part.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use async_trait::async_trait;
use leasehold::{
    AcquireOptions, AcquireOutcome, Holder, LeaseId, LockName, LockStore, ReleaseOutcome,
};

use crate::contender::Contender;
use crate::leasehold_client;

const TTL: Duration = Duration::from_secs(15);

pub(super) struct StoreAlone {
    store: Arc<dyn LockStore>,
    holder: Holder,
}

/// Opens a store by its URL.
pub(super) async fn open(url: &str) -> Result<StoreAlone> {
    let store = leasehold_client::store(url).await?;
    Ok(StoreAlone { store, holder: Holder::current() })
}

#[async_trait]
impl Contender for StoreAlone {
    fn name(&self) -> &str {
        "Leasehold, store alone"
    }

    async fn run(&self, lock: &str) -> Result<()> {
        let (name, lease) = (LockName::new(lock)?, LeaseId::new());
        let options = AcquireOptions::new(lease, self.holder.clone(), TTL);
        let acquired = self.store.acquire(&name, &options).await?;
        let released = self.store.release(&name, lease).await?;
        match (acquired, released) {
            (AcquireOutcome::Granted(_), ReleaseOutcome::Released) => Ok(()),
            outcome => bail!("{lock} was not acquired and released: {outcome:?}"),
        }
    }
}
