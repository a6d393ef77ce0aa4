//! This module has helpers that the cases of etcd share.

use std::sync::Arc;
use std::time::Duration;

use leasehold::etcd::EtcdStore;
use leasehold_conformance::{CaseResult, Client};
use leasehold_core::{LockName, Namespace, Result};

use super::options;

/// No call takes as long as this.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// No case takes as long as this.
pub(super) const TTL: Duration = Duration::from_secs(400);

pub(super) fn namespace() -> CaseResult<Namespace> {
    Ok(Namespace::new(format!("own_{:016x}", fastrand::u64(..)))?)
}

pub(super) fn name(name: &str) -> LockName {
    LockName::new(name).expect("a lock name")
}

pub(super) async fn connect(url: &str, namespace: &Namespace) -> Result<Client> {
    Ok(Client::new(Arc::new(EtcdStore::connect(url, &options(namespace)).await?)))
}
