//! What an answer must be: each function returns what is in it, or panics with what came instead.

use std::time::Duration;

use leasehold_core::{
    AcquireOutcome, DisableOutcome, Disablement, Grant, Held, Reason, RenewOutcome,
};

/// The grant.
///
/// # Panics
/// When it is another answer.
#[track_caller]
pub fn granted(outcome: AcquireOutcome) -> Grant {
    let AcquireOutcome::Granted(grant) = outcome else {
        panic!("expected a grant, got {outcome:?}")
    };
    grant
}

/// The other's lease.
///
/// # Panics
/// When it is another answer.
#[track_caller]
pub fn held(outcome: AcquireOutcome) -> Held {
    let AcquireOutcome::Held(held) = outcome else {
        panic!("expected that another holds the name, got {outcome:?}")
    };
    held
}

/// Why the name is granted to nobody.
///
/// # Panics
/// When it is another answer.
#[track_caller]
pub fn refused(outcome: AcquireOutcome) -> Disablement {
    let AcquireOutcome::Disabled(disablement) = outcome else {
        panic!("expected that the name is disabled, got {outcome:?}")
    };
    disablement
}

/// What is left of the extended lease.
///
/// # Panics
/// When it is another answer.
#[track_caller]
pub fn extended(outcome: RenewOutcome) -> Duration {
    let RenewOutcome::Extended { left } = outcome else {
        panic!("expected that the lease is extended, got {outcome:?}")
    };
    left
}

/// Nothing: no lease of that id is in force.
///
/// # Panics
/// When it is another answer.
#[track_caller]
pub fn lost(outcome: RenewOutcome) {
    assert_eq!(outcome, RenewOutcome::Lost, "expected that the lease is lost");
}

/// Why the lease is not extended, and what is left of it.
///
/// # Panics
/// When it is another answer.
#[track_caller]
pub fn not_extended(outcome: RenewOutcome) -> (Reason, Duration) {
    let RenewOutcome::Disabled { reason, left } = outcome else {
        panic!("expected that the lease is not extended, since disabled, got {outcome:?}")
    };
    (reason, left)
}

/// Why the name was disabled already.
///
/// # Panics
/// When it is another answer.
#[track_caller]
pub fn already_disabled(outcome: DisableOutcome) -> Disablement {
    let DisableOutcome::AlreadyDisabled(disablement) = outcome else {
        panic!("expected that the name was disabled already, got {outcome:?}")
    };
    disablement
}
