//! This module has helpers that the cases of Redis and Valkey share.

use std::sync::Arc;
use std::time::Duration;

use leasehold::redis::RedisStore;
use leasehold_conformance::Client;
use leasehold_core::{Error, Holder, LockName, Namespace, Presence, Result};

use super::options;

/// Returns a namespace that no other case uses.
pub(super) fn fresh() -> Namespace {
    Namespace::new(format!("own_{:016x}", fastrand::u64(..))).expect("it is one")
}

pub(super) fn name(name: &str) -> LockName {
    LockName::new(name).expect("it is one")
}

/// Returns the announcement of an instance that campaigns for nothing.
pub(super) fn presence() -> Presence {
    Presence::new(Holder::current(), Vec::new())
}

/// No case takes as long as this.
pub(super) const LONG: Duration = Duration::from_secs(400);

/// Opens a client of that namespace by that URL.
pub(super) async fn open(url: &str, namespace: &Namespace) -> Result<Client> {
    Ok(Client::new(Arc::new(RedisStore::connect(url, &options(namespace)).await?)))
}

/// Returns the error when the store is opened, and all its text.
pub(super) async fn refusal(url: &str) -> (Error, String) {
    let error = RedisStore::connect(url, &options(&fresh())).await.expect_err("it opens");
    let details = format!("{error:?} {error}");
    assert!(!details.contains("secret"), "{details}");
    (error, details)
}
