//! A held lease is what the watchdog needs to release the lease of a supervisor that was killed.

use std::sync::Arc;

use leasehold::url::StoreAddress;
use leasehold::{FencingToken, LeaseId, LockName, LockStore, ReleaseOutcome, Result};
use serde::{Deserialize, Serialize};

use crate::cmd::run::environment;
use crate::io::log_format::LogFormat;
use crate::io::stderr::{self, set_format};

/// A held lease is the lease of one term, and says where it is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cmd::run) struct HeldLease {
    pub(super) name: LockName,
    lease: LeaseId,
    token: FencingToken,
    /// The lease is that of an entry in the lock's queue.
    in_queue: bool,
    store: StoreAddress,
    /// The supervisor writes its messages in JSON.
    json: bool,
}

impl HeldLease {
    pub(in crate::cmd::run) fn new(
        name: LockName,
        lease: LeaseId,
        token: FencingToken,
        in_queue: bool,
        store: StoreAddress,
    ) -> Self {
        Self { name, lease, token, in_queue, store, json: stderr::format() == LogFormat::Json }
    }

    /// Returns whether a process that has left the command's group may still run.
    pub(super) fn may_be_in_use(&self) -> bool {
        environment::is_inherited(&self.name, self.token)
    }

    /// Writes messages in the format in which the supervisor wrote them.
    pub(super) fn use_message_format(&self) {
        set_format(if self.json { LogFormat::Json } else { LogFormat::Text });
    }

    /// Opens the store.
    pub(super) async fn open_store(&self) -> Result<Arc<dyn LockStore>> {
        self.store.open().await
    }

    /// Releases the lease in its store, or leaves the queue with its entry. If the lease has ended or
    /// was released, this changes nothing: each grant has another id.
    pub(super) async fn release(&self, store: &Arc<dyn LockStore>) -> Result<ReleaseOutcome> {
        if self.in_queue {
            store.leave(&self.name, self.lease).await
        } else {
            store.release(&self.name, self.lease).await
        }
    }
}
