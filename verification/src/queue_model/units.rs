//! This module defines time in the model.

use std::time::Duration;

use leasehold_core::Moment;

pub(super) const UNIT: Duration = Duration::from_secs(1);

/// An entry lasts this many units of time.
pub(super) const TTL: u8 = 6;

/// This is the present, which is the same in every state. Times further back than two ttls make no
/// difference.
pub(super) const NOW: Moment = Moment::from_secs(2 * TTL as u64);

/// Returns the duration of that many units.
pub(super) fn duration(units: u8) -> Duration {
    UNIT * u32::from(units)
}

/// Returns the number of units in a duration.
pub(super) fn units(duration: Duration) -> u8 {
    u8::try_from(duration.as_secs()).unwrap_or(u8::MAX)
}
