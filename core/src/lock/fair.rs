//! A fair lock is held by one call at a time, in the order of arrival.

use std::time::Duration;

use super::guard::Guard;
use super::named_lock::NamedLock;
use super::position::Position;
use crate::lease::EntryOptions;
use crate::{LockKind, LockName, Result, Settings};

/// A fair lock is held by at most one call at a time, in the order in which they arrived at the
/// store; [`Client::fair_lock`](crate::Client::fair_lock) creates it.
///
/// Each call has an entry in a queue that the store keeps. A call that waits keeps its entry by
/// heartbeats, so one that dies is passed over as soon as its entry has expired, and holds up nobody
/// for longer. A call whose heartbeats failed for too long, or that was not polled for so long, has
/// lost its turn: it enters again at the end.
///
/// ```
/// use std::time::Duration;
/// use leasehold_core::{Client, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> leasehold_core::Result<()> {
/// let client = Client::new(MemoryStore::new())?;
/// let lock = client.fair_lock("print-queue")?;
///
/// let guard = lock.acquire(Duration::from_secs(30)).await?;
/// println!("printing under token {}", guard.token());
/// guard.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct FairLock {
    named: NamedLock,
}

impl FairLock {
    const ENTRY: EntryOptions = EntryOptions::new(LockKind::Fair);

    pub(crate) fn new(named: NamedLock) -> Result<Self> {
        Ok(Self { named: named.with_queue(LockKind::Fair)? })
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

    /// Tries to acquire the lock once. Returns `None` if it is held, if it is disabled, or if the
    /// reply took too long for the lease to be used.
    ///
    /// It asks the store at once, and does not queue.
    ///
    /// # Errors
    /// This fails with the store's error, and with
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) if the name is in use as another
    /// [kind](LockKind) of lock.
    ///
    /// # Cancel safety
    /// A lease that is granted to a dropped call is released.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        self.named.try_once(Some(Self::ENTRY)).await
    }

    /// Waits for the lock, at most for `limit`; with a limit of zero it tries once.
    ///
    /// The calls of one client enter the store's queue one after the other, in the order in which
    /// they were first polled: the next one enters when the one before holds the lock or has given
    /// up. So a client has at most one entry that waits, and calls of different clients alternate.
    ///
    /// A call that waits learns that it holds the lock from a hint of the store, or else from its
    /// next heartbeat. When a guard of the same client is released, it asks the store at once.
    /// After a crash of the holder it holds the lock as soon as the holder's lease has expired.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut), whose message says how
    /// many are ahead and names the first holder, or the last error of the store. An error that
    /// waiting cannot resolve is returned at once, such as
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) if the name is in use as another
    /// [kind](LockKind) of lock, or if its queue has [`MAX_ENTRIES`](crate::MAX_ENTRIES) entries.
    ///
    /// # Cancel safety
    /// A call that is dropped leaves the queue. A call that is neither polled nor dropped holds up
    /// the calls of its client behind it.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn acquire(&self, limit: Duration) -> Result<Guard> {
        self.acquire_with(limit, |_| {}).await
    }

    /// Does the same as [`acquire`](Self::acquire), and calls `on_position` with the position in
    /// the queue: when the call has entered it, and each time a heartbeat shows a new one. It is
    /// not called while the call waits behind others of its client, or if it gets the lock at once.
    ///
    /// [`Client::status`](crate::Client::status) shows the entries of all clients.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use leasehold_core::{Client, MemoryStore};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> leasehold_core::Result<()> {
    /// # let client = Client::new(MemoryStore::new())?;
    /// let lock = client.fair_lock("print-queue")?;
    /// let limit = Duration::from_secs(30);
    /// let show = |position: leasehold_core::Position| println!("{} ahead", position.ahead);
    /// let guard = lock.acquire_with(limit, show).await?;
    /// # guard.release().await }
    /// ```
    ///
    /// # Errors
    /// This fails for the same reasons as [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// This is the same as for [`acquire`](Self::acquire).
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn acquire_with(
        &self,
        limit: Duration,
        mut on_position: impl FnMut(Position) + Send,
    ) -> Result<Guard> {
        self.named.wait_in_queue(limit, Self::ENTRY, &mut on_position).await
    }
}
