//! Finds out which waiters the end of an entry concerns: a watch reports which entry ended, but not
//! which ones hold the lock now.

use super::client::EtcdClient;
use super::keys::Keys;
use super::queue_transaction;
use super::stored_lock::{self, StoredLock};
use crate::{Hint, LockName, Result};

/// Reads the queue in which an entry ended, and returns the hint for its waiters.
///
/// Entries may have ended since, but each of these ends causes another event. If the queue cannot
/// be read, all its waiters ask.
pub(super) async fn read(client: &EtcdClient, keys: &Keys, name: LockName) -> Hint {
    match read_queue(client, keys, &name).await {
        Ok(stored) => hint(name, &stored),
        Err(_) => Hint::Name(name),
    }
}

async fn read_queue(client: &EtcdClient, keys: &Keys, name: &LockName) -> Result<StoredLock> {
    let read = queue_transaction::read_queues(keys, &[name]);
    let found = client.call().read_large_txn(read).await?;
    stored_lock::readable(keys, &found, name)
}

/// Returns the hint that names all entries that hold the lock. If there is none, the name can be
/// used as another kind of lock.
fn hint(name: LockName, stored: &StoredLock) -> Hint {
    let holders = stored.entries().take(stored.holding()).map(|entry| entry.lease);
    let holders: Vec<_> = holders.collect();
    if holders.is_empty() { Hint::Name(name) } else { Hint::Entries(name, holders) }
}
