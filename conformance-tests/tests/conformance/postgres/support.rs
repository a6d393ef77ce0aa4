//! This module has helpers that the cases of PostgreSQL share.

use std::time::Duration;

use leasehold_core::{EnterOptions, Holder, LeaseId, LockKind, LockName, Namespace, RenewOptions};
use uuid::Uuid;

/// Returns a namespace that no other case uses.
pub(super) fn fresh() -> Namespace {
    Namespace::new(format!("own_{:016x}", fastrand::u64(..))).expect("it is one")
}

pub(super) fn name(name: &str) -> LockName {
    LockName::new(name).expect("it is one")
}

/// No case takes as long as this.
pub(super) const LONG: Duration = Duration::from_secs(400);

/// Returns an attempt to enter the queue of a fair lock.
pub(super) fn entering(lease: LeaseId, ttl: Duration) -> EnterOptions {
    EnterOptions::new(lease, Holder::new(Uuid::from_u128(7), "host", 1), ttl, LockKind::Fair)
}

pub(super) fn entry_renewal(lock: &str, lease: LeaseId, ttl: Duration) -> RenewOptions {
    RenewOptions::new(name(lock), lease, ttl).of_entry(true)
}
