//! These functions check answers. Each returns the content of the expected answer, or panics with
//! the actual one.

use std::time::Duration;

use leasehold_core::{
    AcquireOutcome, DisableOutcome, Disablement, ErrorKind, FencingToken, Grant, Held, Queued,
    Reason, RenewOutcome, Result,
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

/// Returns the entry that waits in the queue.
///
/// # Panics
/// It panics if the answer is another one.
#[track_caller]
pub fn queued(outcome: AcquireOutcome) -> Queued {
    let AcquireOutcome::Queued(queued) = outcome else {
        panic!("expected Queued, got {outcome:?}")
    };
    queued
}

/// Returns the time that is left of the extended entry, which holds the lock, and the floor.
///
/// # Panics
/// It panics if the answer is another one, or has no floor.
#[track_caller]
pub fn holds(outcome: RenewOutcome) -> (Duration, FencingToken) {
    let RenewOutcome::Extended { left, floor: Some(floor), .. } = outcome else {
        panic!("expected Extended with a floor, got {outcome:?}")
    };
    (left, floor)
}

/// Returns the time that is left of the extended entry, which waits, the number of entries ahead,
/// and the time within which none of them expires.
///
/// # Panics
/// It panics if the answer is another one.
#[track_caller]
pub fn waits(outcome: RenewOutcome) -> (Duration, usize, Duration) {
    let RenewOutcome::Queued { left, ahead, recheck, .. } = outcome else {
        panic!("expected Queued, got {outcome:?}")
    };
    (left, ahead, recheck)
}

/// Returns the message of the error that the name is in use as another kind of lock, or that its
/// queue is full.
///
/// # Panics
/// It panics if the result is another one.
#[track_caller]
pub fn conflict(result: Result<AcquireOutcome>) -> String {
    let error = match result {
        Ok(outcome) => panic!("expected a conflict, got {outcome:?}"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    error.to_string()
}
