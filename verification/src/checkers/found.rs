//! What a checker finds.

use std::time::Duration;

/// The first violation, with its moment, or nothing.
pub(super) type Found = Result<(), (Duration, String)>;
