//! A semaphore is held by as many calls at a time as it has permits, in the order of arrival.

use std::time::Duration;

use super::guard::Guard;
use super::named_lock::NamedLock;
use super::position::Position;
use crate::lease::EntryOptions;
use crate::{LockKind, LockName, Result, Settings};

/// A semaphore limits how many calls, of all clients together, do something at the same time;
/// [`Client::semaphore`](crate::Client::semaphore) creates it.
///
/// The calls get their permits in the order in which they arrived at the store, as those of a
/// [`FairLock`](crate::FairLock) do. A call that needs many permits waits until that many are free,
/// and all calls behind it wait too, even if they need fewer: otherwise it could wait forever.
///
/// A name has at most [`MAX_ENTRIES`](crate::MAX_ENTRIES) entries: its holders and the waiters of all
/// clients, of which each client has one. An attempt beyond that fails with
/// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict).
///
/// All clients have to name the same number of permits. A name that is in use with another number is
/// refused, with an error that names both.
///
/// ```
/// use std::time::Duration;
/// use leasehold_core::{Client, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> leasehold_core::Result<()> {
/// let client = Client::new(MemoryStore::new())?;
/// let limit = Duration::from_secs(30);
/// let exports = client.semaphore("exports", 3)?;
///
/// let small = exports.acquire(limit).await?;
/// let large = exports.acquire_many(2, limit).await?;
/// assert!(exports.try_acquire().await?.is_none(), "three permits are in use");
/// small.release().await?;
/// large.release().await?;
/// # Ok(()) }
/// ```
///
/// # Fencing
/// A resource that accepts only the largest [token](Guard::token) would refuse holders whose permits
/// are valid. It keeps the largest [floor](Guard::floor) that it was given, and accepts each token
/// that is not below it.
#[derive(Clone, Debug)]
pub struct Semaphore {
    named: NamedLock,
    kind: LockKind,
}

impl Semaphore {
    pub(crate) fn new(named: NamedLock, permits: u32) -> Result<Self> {
        let kind = LockKind::semaphore(permits).map_err(|error| error.for_lock(&named.name))?;
        Ok(Self { named: named.with_queue(kind)?, kind })
    }

    /// Returns this semaphore with other settings. A lock has no job to stop and starts without
    /// delay, so those two settings are only checked.
    ///
    /// # Errors
    /// This fails with [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the settings contradict
    /// each other or the store.
    pub fn settings(self, settings: &Settings) -> Result<Self> {
        Ok(Self { named: self.named.settings(settings)?, ..self })
    }

    /// Returns the name of the semaphore.
    #[must_use]
    pub fn name(&self) -> &LockName {
        &self.named.name
    }

    /// Returns how many permits the semaphore has in all.
    #[must_use]
    pub fn permits(&self) -> u32 {
        self.kind.capacity()
    }

    /// Tries to acquire one permit. It is [`try_acquire_many`](Self::try_acquire_many) with one.
    ///
    /// # Errors
    /// This fails with the store's error, and with
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) if the name is in use as another
    /// [kind](LockKind) of lock.
    ///
    /// # Cancel safety
    /// A permit that is granted to a dropped call is released.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        self.try_acquire_many(1).await
    }

    /// Tries to acquire this many permits with one guard. Returns `None` if too few are left, if
    /// calls wait for permits, if the name is disabled, or if the reply took too long for the lease
    /// to be used.
    ///
    /// It asks the store at once, and does not queue.
    ///
    /// # Errors
    /// This fails for the same reasons as [`try_acquire`](Self::try_acquire), and with
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the number is 0 or larger than that of
    /// all permits.
    ///
    /// # Cancel safety
    /// Permits that are granted to a dropped call are released.
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn try_acquire_many(&self, permits: u32) -> Result<Option<Guard>> {
        self.named.try_once(Some(self.entry(permits)?)).await
    }

    /// Waits for one permit, at most for `limit`. It is [`acquire_many`](Self::acquire_many) with
    /// one.
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
    pub async fn acquire(&self, limit: Duration) -> Result<Guard> {
        self.acquire_many(1, limit).await
    }

    /// Waits for this many permits, at most for `limit`, and acquires them all with one guard; with
    /// a limit of zero it tries once.
    ///
    /// The calls of one client enter the store's queue one after the other, as those for a
    /// [`FairLock`](crate::FairLock::acquire) do.
    ///
    /// # Errors
    /// This fails for the same reasons as [`acquire`](Self::acquire), and with
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the number is 0 or larger than that of
    /// all permits.
    ///
    /// # Cancel safety
    /// This is the same as for [`acquire`](Self::acquire).
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn acquire_many(&self, permits: u32, limit: Duration) -> Result<Guard> {
        self.acquire_many_with(permits, limit, |_| {}).await
    }

    /// Does the same as [`acquire_many`](Self::acquire_many), and reports the position in the
    /// queue, as [`FairLock::acquire_with`](crate::FairLock::acquire_with) does.
    ///
    /// # Errors
    /// This fails for the same reasons as [`acquire_many`](Self::acquire_many).
    ///
    /// # Cancel safety
    /// This is the same as for [`acquire`](Self::acquire).
    ///
    /// # Panics
    /// This panics outside of a tokio runtime.
    pub async fn acquire_many_with(
        &self,
        permits: u32,
        limit: Duration,
        mut on_position: impl FnMut(Position) + Send,
    ) -> Result<Guard> {
        self.named.wait_in_queue(limit, self.entry(permits)?, &mut on_position).await
    }

    fn entry(&self, permits: u32) -> Result<EntryOptions> {
        EntryOptions::new(self.kind).with_weight(permits, &self.named.name)
    }
}
