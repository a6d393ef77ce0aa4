//! An exclusive lock lets one instance at a time run a section of code.

use std::time::Duration;

use super::guard::Guard;
use super::named_lock::NamedLock;
use crate::{LockName, Result, Settings};

/// A lock is held by at most one instance at a time; a [`Client`](crate::Client) creates it by
/// name.
///
/// The first instance that asks while the lock is free gets it. A [`FairLock`](crate::FairLock) is
/// held in the order of arrival, at the cost of a queue in the store.
///
/// ```
/// use std::time::Duration;
/// use leasehold_core::{Client, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> leasehold_core::Result<()> {
/// let client = Client::new(MemoryStore::new())?;
/// let lock = client.lock("nightly-report")?;
///
/// let guard = lock.acquire(Duration::from_secs(30)).await?;
/// assert!(guard.is_held());
/// println!("working under token {}", guard.token());
/// guard.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Lock {
    named: NamedLock,
}

impl Lock {
    pub(crate) fn new(named: NamedLock) -> Self {
        Self { named }
    }

    /// Returns this lock with other settings. A lock has no job to stop and starts without delay,
    /// so those two settings are only checked.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the settings contradict
    /// each other or the store.
    pub fn settings(self, settings: &Settings) -> Result<Self> {
        Ok(Self { named: self.named.settings(settings)? })
    }

    /// Returns the name of the lock.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.named.name
    }

    /// Tries to acquire the lock once. Returns `None` if it is held, by another instance or by a
    /// guard of this one, if it is disabled, or if the reply took too long for the lease to be
    /// used.
    ///
    /// It asks the store at once, and does not queue behind the tasks of this client that wait for
    /// the lock.
    ///
    /// # Errors
    /// This fails with the store's error. A lease that was granted despite the error is released.
    ///
    /// # Cancel safety
    /// A lease that is granted to a dropped call is released.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        self.named.try_once(None).await
    }

    /// Waits for the lock, at most for `limit`; with a limit of zero it tries once.
    ///
    /// The tasks of one client get the lock in the order in which their calls were first polled.
    /// Only the first of them asks the store. It tries again when the lease of the present holder
    /// should have expired, when the store hints at a change and at every
    /// [poll interval](Settings::poll_interval), also while the name is disabled. After a hint it
    /// tries again at once, or at a random moment within 5 ms if other clients were often faster.
    /// After a failure of the store it waits for at most a second, doubled at each further failure,
    /// and ignores hints. While a guard of this client holds the lock, the store is not asked; the
    /// first waiter asks as soon as the guard's release has ended, or its lease is lost.
    ///
    /// Clients are not served in turn. One whose tasks always wait keeps the lock among them for
    /// some time, a few seconds at most if the store pushes hints, and then lets others ask first. A
    /// task that releases and acquires in a loop while no other task of the client waits may starve
    /// other clients, so it should pause in between.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut), whose message names the
    /// present holder or the last error of the store. An error that waiting cannot resolve is
    /// returned at once, such as [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) if the name is
    /// in use as another [kind](crate::LockKind) of lock.
    ///
    /// # Cancel safety
    /// A call that is dropped leaves the queue, and a lease that is granted to it is released. A
    /// call that is neither polled nor dropped holds up the calls behind it.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn acquire(&self, limit: Duration) -> Result<Guard> {
        let store = &self.named.engine.store;
        let wait = store.metrics().start_wait(&**store.clock());
        let acquired = self.named.acquire_within(limit, None, &mut |_| {}).await;
        wait.finish(&acquired);
        acquired
    }
}
