//! This module has helpers that the cases of MySQL and MariaDB share.

use std::sync::Arc;
use std::time::Duration;

use leasehold::Schema;
use leasehold::mysql::MySqlStore;
use leasehold_conformance::Client;
use leasehold_core::{LockName, Namespace, Result};

use super::{MySql, options};

/// Returns a namespace that no other case uses.
pub(super) fn fresh() -> Namespace {
    Namespace::new(format!("own_{:016x}", fastrand::u64(..))).expect("it is one")
}

pub(super) fn name(name: &str) -> LockName {
    LockName::new(name).expect("it is one")
}

/// No case takes as long as this.
pub(super) const LONG: Duration = Duration::from_secs(400);

impl MySql {
    /// Opens a client of that namespace by that URL.
    pub(super) async fn connect(&self, url: &str, namespace: &Namespace) -> Result<Client> {
        let store = MySqlStore::connect(url, &options(namespace, Schema::Create)).await?;
        Ok(Client::new(Arc::new(store)))
    }
}
