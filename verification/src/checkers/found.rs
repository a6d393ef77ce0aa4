//! This module defines what a checker returns.

use std::time::Duration;

/// This is the first violation with its time, or nothing.
pub(super) type Found = Result<(), (Duration, String)>;
