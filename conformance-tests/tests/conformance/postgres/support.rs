//! This module has helpers that the cases of PostgreSQL share.

use std::time::Duration;

use leasehold_core::{LockName, Namespace};

/// Returns a namespace that no other case uses.
pub(super) fn fresh() -> Namespace {
    Namespace::new(format!("own_{:016x}", fastrand::u64(..))).expect("it is one")
}

pub(super) fn name(name: &str) -> LockName {
    LockName::new(name).expect("it is one")
}

/// No case takes as long as this.
pub(super) const LONG: Duration = Duration::from_secs(400);
