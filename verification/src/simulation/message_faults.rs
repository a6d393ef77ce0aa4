//! What becomes of one message, drawn for the weather.

use std::time::Duration;

use super::Weather;

/// What becomes of a call on its way to the store and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub(super) there: Duration,
    pub(super) request: Passage,
    pub(super) back: Duration,
    pub(super) reply: Passage,
}

/// What becomes of a message on one of the two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    Arrives,
    /// Nothing is ever heard of it.
    Lost,
    /// The caller is told so.
    Refused,
}

impl Fate {
    pub(super) fn draw(weather: Weather, random: &mut fastrand::Rng) -> Self {
        let mut millis = |most: u64| Duration::from_micros(random.u64(0..most * 1000));
        let (there, back) = match weather {
            Weather::Fair | Weather::Away => (millis(20), millis(20)),
            Weather::Rough | Weather::Silent => (millis(3_000), millis(1_000)),
            Weather::Slow => (millis(8_000), millis(4_000)),
        };
        let mut passage = || match (weather, random.u32(0..10)) {
            (Weather::Away, _) => Passage::Refused,
            (Weather::Rough, 0) | (Weather::Silent, 0..5) => Passage::Lost,
            (Weather::Rough, 1) => Passage::Refused,
            _ => Passage::Arrives,
        };
        let (request, reply) = (passage(), passage());
        let reply = if weather == Weather::Silent { Passage::Lost } else { reply };
        Self { there, request, back, reply }
    }
}
