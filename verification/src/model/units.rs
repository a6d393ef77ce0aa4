//! This module defines time in the model.

use std::time::Duration;

use leasehold_core::Moment;

pub(super) const UNIT: Duration = Duration::from_secs(1);

/// A lease lasts this many units of time.
pub(super) const TTL: u8 = 6;

/// This is the present, which is the same in every state. Times further back than two ttls make no
/// difference.
pub(super) const NOW: Moment = Moment::from_secs(2 * TTL as u64);
