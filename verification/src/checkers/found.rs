//! The result of a checker.

use std::time::Duration;

/// The first violation with its time, or nothing.
pub(super) type Found = Result<(), (Duration, String)>;
