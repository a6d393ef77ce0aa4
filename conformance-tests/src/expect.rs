//! These functions check answers. Each returns the content of the expected answer, or panics with
//! the actual one.

use std::time::Duration;

use leasehold_core::{
    AcquireOutcome, DisableOutcome, Disablement, Grant, Held, Reason, RenewOutcome,
};

/// Returns the grant.
///
/// # Panics
/// It panics if the answer is another one.
#[track_caller]
pub fn granted(outcome: AcquireOutcome) -> Grant {
    let AcquireOutcome::Granted(grant) = outcome else {
        panic!("expected a grant, got {outcome:?}")
    };
    grant
}

/// Returns the lease that another client holds.
///
/// # Panics
/// It panics if the answer is another one.
#[track_caller]
pub fn held(outcome: AcquireOutcome) -> Held {
    let AcquireOutcome::Held(held) = outcome else { panic!("expected Held, got {outcome:?}") };
    held
}

/// Returns why the name is disabled.
///
/// # Panics
/// It panics if the answer is another one.
#[track_caller]
pub fn refused(outcome: AcquireOutcome) -> Disablement {
    let AcquireOutcome::Disabled(disablement) = outcome else {
        panic!("expected Disabled, got {outcome:?}")
    };
    disablement
}

/// Returns the time that is left of the extended lease.
///
/// # Panics
/// It panics if the answer is another one.
#[track_caller]
pub fn extended(outcome: RenewOutcome) -> Duration {
    let RenewOutcome::Extended { left, .. } = outcome else {
        panic!("expected Extended, got {outcome:?}")
    };
    left
}

/// Expects that no lease with that id is in force.
///
/// # Panics
/// It panics if the answer is another one.
#[track_caller]
pub fn lost(outcome: RenewOutcome) {
    assert_eq!(outcome, RenewOutcome::Lost, "expected that the lease is lost");
}

/// Returns why the lease is not extended, and the time that is left of it.
///
/// # Panics
/// It panics if the answer is another one.
#[track_caller]
pub fn not_extended(outcome: RenewOutcome) -> (Reason, Duration) {
    let RenewOutcome::Disabled { reason, left, .. } = outcome else {
        panic!("expected Disabled, got {outcome:?}")
    };
    (reason, left)
}

/// Returns why the name was already disabled.
///
/// # Panics
/// It panics if the answer is another one.
#[track_caller]
pub fn already_disabled(outcome: DisableOutcome) -> Disablement {
    let DisableOutcome::AlreadyDisabled(disablement) = outcome else {
        panic!("expected AlreadyDisabled, got {outcome:?}")
    };
    disablement
}
