//! A reader/writer lock is held by many readers or by one writer, in the order of arrival.

use std::time::Duration;

use super::guard::Guard;
use super::named_lock::NamedLock;
use super::position::Position;
use crate::lease::EntryOptions;
use crate::{LockKind, LockName, Result, Settings};

/// A reader/writer lock is held by many readers or by one writer at a time;
/// [`Client::rw_lock`](crate::Client::rw_lock) creates it.
///
/// Readers and writers get the lock in the order in which they arrived at the store, so neither
/// of them starves: readers that arrive after a waiting writer wait until it has released the lock.
///
/// A name has at most [`MAX_ENTRIES`](crate::MAX_ENTRIES) entries: its holders and the waiters of all
/// clients, of which each client has one. An attempt beyond that fails with
/// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict).
///
/// ```
/// use std::time::Duration;
/// use leasehold_core::{Client, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> leasehold_core::Result<()> {
/// let client = Client::new(MemoryStore::new())?;
/// let limit = Duration::from_secs(30);
/// let catalog = client.rw_lock("catalog")?;
///
/// let readers = [catalog.read(limit).await?, catalog.read(limit).await?];
/// assert!(catalog.try_write().await?.is_none(), "it is being read");
/// for reader in readers {
///     reader.release().await?;
/// }
/// let writer = catalog.write(limit).await?;
/// assert!(catalog.try_read().await?.is_none(), "it is being written");
/// writer.release().await?;
/// # Ok(()) }
/// ```
///
/// # Fencing
/// A resource that accepts only the largest [token](Guard::token) would refuse readers that hold the
/// lock. It keeps the largest [floor](Guard::floor) that it was given, and accepts each token that is
/// not below it.
#[derive(Clone, Debug)]
pub struct RwLock {
    named: NamedLock,
}

impl RwLock {
    const READER: EntryOptions = EntryOptions::new(LockKind::ReaderWriter);

    pub(crate) fn new(named: NamedLock) -> Result<Self> {
        Ok(Self { named: named.with_queue(LockKind::ReaderWriter)? })
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

    /// Tries to acquire the lock for reading. Returns `None` if a writer holds it or waits for it,
    /// if the name is disabled, or if the reply took too long for the lease to be used.
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
    pub async fn try_read(&self) -> Result<Option<Guard>> {
        self.named.try_once(Some(Self::READER)).await
    }

    /// Tries to acquire the lock for writing. Returns `None` if it is held, if the name is disabled,
    /// or if the reply took too long for the lease to be used.
    ///
    /// It asks the store at once, and does not queue.
    ///
    /// # Errors
    /// This fails for the same reasons as [`try_read`](Self::try_read).
    ///
    /// # Cancel safety
    /// A lease that is granted to a dropped call is released.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn try_write(&self) -> Result<Option<Guard>> {
        self.named.try_once(Some(self.writer()?)).await
    }

    /// Waits until the lock can be read, at most for `limit`; with a limit of zero it tries once.
    ///
    /// The calls of one client enter the store's queue one after the other, as those for a
    /// [`FairLock`](crate::FairLock::acquire) do, whether they read or write.
    ///
    /// # Errors
    /// This fails for the same reasons as [`FairLock::acquire`](crate::FairLock::acquire).
    ///
    /// # Cancel safety
    /// A call that is dropped leaves the queue. A call that is neither polled nor dropped holds up
    /// the calls of its client behind it.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn read(&self, limit: Duration) -> Result<Guard> {
        self.read_with(limit, |_| {}).await
    }

    /// Does the same as [`read`](Self::read), and reports the position in the queue, as
    /// [`FairLock::acquire_with`](crate::FairLock::acquire_with) does.
    ///
    /// # Errors
    /// This fails for the same reasons as [`read`](Self::read).
    ///
    /// # Cancel safety
    /// This is the same as for [`read`](Self::read).
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn read_with(
        &self,
        limit: Duration,
        mut on_position: impl FnMut(Position) + Send,
    ) -> Result<Guard> {
        self.named.wait_in_queue(limit, Self::READER, &mut on_position).await
    }

    /// Waits until the lock can be written, at most for `limit`; with a limit of zero it tries once.
    ///
    /// # Errors
    /// This fails for the same reasons as [`read`](Self::read).
    ///
    /// # Cancel safety
    /// This is the same as for [`read`](Self::read).
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn write(&self, limit: Duration) -> Result<Guard> {
        self.write_with(limit, |_| {}).await
    }

    /// Does the same as [`write`](Self::write), and reports the position in the queue, as
    /// [`FairLock::acquire_with`](crate::FairLock::acquire_with) does.
    ///
    /// # Errors
    /// This fails for the same reasons as [`read`](Self::read).
    ///
    /// # Cancel safety
    /// This is the same as for [`read`](Self::read).
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn write_with(
        &self,
        limit: Duration,
        mut on_position: impl FnMut(Position) + Send,
    ) -> Result<Guard> {
        self.named.wait_in_queue(limit, self.writer()?, &mut on_position).await
    }

    fn writer(&self) -> Result<EntryOptions> {
        Self::READER.with_weight(LockKind::WRITER_WEIGHT, &self.named.name)
    }
}
