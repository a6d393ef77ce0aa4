//! A contender is what a measurement runs: a lock library, the floor or the ping.

use std::pin::Pin;
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;

/// This future releases a lock that is held.
pub(crate) type Release = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// What is measured in slices has a name in the report.
pub(crate) trait Named {
    /// Returns the name.
    fn name(&self) -> &str;
}

/// A lock library waits for locks and releases them, as its users call it.
#[async_trait]
pub(crate) trait LockLibrary: Send + Sync + 'static {
    /// Returns the name in the report.
    fn name(&self) -> &str;

    /// Returns how many tasks may wait at a time. A library that needs a connection for each waiter
    /// is limited by its server.
    fn max_waiters(&self) -> usize {
        usize::MAX
    }

    /// Waits for the lock of that name.
    async fn acquire(&self, lock: &str) -> Result<Release>;
}

/// A contender does the same operation again and again, on a lock of that name.
#[async_trait]
pub(crate) trait Contender: Send + Sync + 'static {
    /// Returns the name in the report.
    fn name(&self) -> &str;

    /// Does the operation once.
    async fn run(&self, lock: &str) -> Result<()>;
}

impl Named for Arc<dyn Contender> {
    fn name(&self) -> &str {
        Contender::name(&**self)
    }
}

/// This contender acquires and releases a lock.
pub(crate) struct AcquireRelease(pub(crate) Arc<dyn LockLibrary>);

#[async_trait]
impl Contender for AcquireRelease {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn run(&self, lock: &str) -> Result<()> {
        self.0.acquire(lock).await?.await
    }
}
