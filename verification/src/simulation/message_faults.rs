//! This module defines the faults of one message, drawn for a fault profile.

use std::time::Duration;

use super::FaultProfile;

/// These are the faults of a call on its way to the store and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct MessageFaults {
    pub(super) request_delay: Duration,
    pub(super) request: Delivery,
    pub(super) reply_delay: Duration,
    pub(super) reply: Delivery,
}

/// This is the fault of a message on one of the two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Arrives,
    /// The message is lost, and its sender is not told.
    Lost,
    /// The message fails, and its sender is told.
    Refused,
}

impl MessageFaults {
    pub(super) fn draw(profile: FaultProfile, random: &mut fastrand::Rng) -> Self {
        let mut millis = |most: u64| Duration::from_micros(random.u64(0..most * 1000));
        let (request_delay, reply_delay) = match profile {
            FaultProfile::Fair | FaultProfile::Refusing => (millis(20), millis(20)),
            FaultProfile::Rough | FaultProfile::Silent => (millis(3_000), millis(1_000)),
            FaultProfile::Slow => (millis(8_000), millis(4_000)),
        };
        let mut passage = || match (profile, random.u32(0..10)) {
            (FaultProfile::Refusing, _) => Delivery::Refused,
            (FaultProfile::Rough, 0) | (FaultProfile::Silent, 0..5) => Delivery::Lost,
            (FaultProfile::Rough, 1) => Delivery::Refused,
            _ => Delivery::Arrives,
        };
        let (request, reply) = (passage(), passage());
        let reply = if profile == FaultProfile::Silent { Delivery::Lost } else { reply };
        Self { request_delay, request, reply_delay, reply }
    }
}
