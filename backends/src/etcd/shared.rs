//! What the clones of a store share.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use etcd_client::TxnOp;

use super::client::EtcdClient;
use super::keys::{Family, Keys};
use crate::common::with_context;
use crate::{Error, ErrorKind, LockName};

/// At most this many names are remembered as refused.
const MAX_REFUSED_NAMES: usize = 10_000;

/// What the clones of a store share.
pub(super) struct EtcdInner {
    pub(super) label: String,
    pub(super) keys: Keys,
    pub(super) etcd: EtcdClient,
    /// Names that were refused lately. An acquire of such a name reads first, since the grant of an etcd
    /// lease costs every member a write.
    refused: Mutex<HashSet<LockName>>,
}

impl EtcdInner {
    pub(super) fn new(label: String, keys: Keys, etcd: EtcdClient) -> Self {
        Self { label, keys, etcd, refused: Mutex::default() }
    }

    pub(super) fn with_context(
        &self,
        operation: &'static str,
        name: Option<&LockName>,
    ) -> impl Fn(Error) -> Error {
        with_context(operation, &self.label, name)
    }

    /// Returns the error for keys that others change all the time.
    pub(super) fn busy(&self) -> Error {
        Error::new(ErrorKind::Unavailable, "the keys changed each time that they were read")
    }

    pub(super) fn contradiction(&self, name: &LockName) -> Error {
        let key = String::from_utf8_lossy(&self.keys.key(Family::Lease, name)).into_owned();
        Error::new(ErrorKind::Corrupt, format!("what stands beside the key {key:?} contradicts it"))
            .with_fix("delete it; fencing tokens grow all the same")
    }

    pub(super) fn is_refused(&self, name: &LockName) -> bool {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    pub(super) fn remember_refusal(&self, name: &LockName, is_refused: bool) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_refused {
            refused.remove(name);
        } else if refused.len() < MAX_REFUSED_NAMES || refused.contains(name) {
            refused.insert(name.clone());
        } else {
            *refused = HashSet::from([name.clone()]);
        }
    }

    /// Returns operations that read all keys of one name.
    pub(super) fn reads(&self, name: &LockName) -> Vec<TxnOp> {
        Family::ALL.into_iter().map(|f| TxnOp::get(self.keys.key(f, name), None)).collect()
    }
}
