//! This module draws the settings of a run's instances from its seed. Every setting varies, but
//! they do not contradict each other.

use std::time::Duration;

use leasehold_core::{LockStore, MemoryStore, Settings, Timing};

/// A heartbeat may take this long without faults. With less time for each try, no lease could be
/// kept.
const MIN_TRY: Duration = Duration::from_millis(100);

/// Settings that contradict each other are drawn again this many times. After that only the ttl is
/// set.
const TRIES: u32 = 100;

/// Draws settings. A third of them are the defaults.
pub(super) fn draw(ttl: Duration, random: &mut fastrand::Rng) -> Settings {
    let defaults = Settings::new().ttl(ttl);
    if random.u32(0..3) == 0 {
        return defaults;
    }
    let drawn = (0..TRIES).map(|_| attempt(ttl, random));
    let fits = |settings: &Settings| {
        let timing = settings.resolve(&MemoryStore::new().capabilities());
        timing.is_ok_and(|timing| timing.retry_interval() >= MIN_TRY)
    };
    drawn.into_iter().find(fits).unwrap_or(defaults)
}

/// Draws some of the settings, each within its own part of the ttl.
fn attempt(ttl: Duration, random: &mut fastrand::Rng) -> Settings {
    let mut settings = Settings::new().ttl(ttl);
    let mut part = |from: f64, to: f64, turn: fn(Settings, Duration) -> Settings| {
        let part = ttl.mul_f64(from + (to - from) * random.f64());
        if random.u32(0..3) == 0 {
            settings = turn(settings.clone(), part);
        }
    };
    let least = 1.0 / f64::from(Timing::DRIFT);
    part(least, least, Settings::margin);
    part(least, 0.3, Settings::margin);
    part(0.0, 0.5, Settings::stop_grace);
    part(0.2, 0.9, Settings::tolerance);
    part(0.05, 0.4, Settings::heartbeat_interval);
    part(0.05, 1.5, Settings::poll_interval);
    part(0.0, 1.0, Settings::start_delay);
    if random.bool() { settings.heartbeat_retries(random.u32(0..7)) } else { settings }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_settings_cover_every_setting_and_are_valid() {
        let ttl = Duration::from_secs(9);
        let timing = |seed| {
            let settings = draw(ttl, &mut fastrand::Rng::with_seed(seed));
            settings.resolve(&MemoryStore::new().capabilities()).unwrap()
        };
        let usual = Settings::new().ttl(ttl).resolve(&MemoryStore::new().capabilities()).unwrap();
        let drawn: Vec<_> = (0..500).map(timing).collect();
        let turned = |differs: fn(&Timing, &Timing) -> bool| {
            drawn.iter().filter(|timing| differs(timing, &usual)).count()
        };
        for differing in [
            turned(|one, other| one.margin != other.margin),
            turned(|one, other| one.stop_grace != other.stop_grace),
            turned(|one, other| one.tolerance != other.tolerance),
            turned(|one, other| one.heartbeat_interval != other.heartbeat_interval),
            turned(|one, other| one.heartbeat_retries != other.heartbeat_retries),
            turned(|one, other| one.poll_interval != other.poll_interval),
            turned(|one, other| one.start_delay != other.start_delay),
        ] {
            assert!(differing > 50, "{differing} of 500");
        }
        assert!(drawn.iter().filter(|timing| **timing == usual).count() > 100);
    }
}
