//! These tests cover the defaults, and the messages about settings that contradict each other.

use super::*;
use crate::{LockStore, MemoryStore};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn resolve(settings: &Settings) -> Result<Timing> {
    settings.resolve(&MemoryStore::new().capabilities())
}

#[test]
fn the_first_backoff_is_at_most_a_second_however_long_the_ttl() {
    let pauses = |settings: Settings| {
        let timing = resolve(&settings).unwrap();
        [1, 2, 3, 9, u32::MAX].map(|failures| timing.backoff(failures))
    };
    let hours = pauses(Settings::new().ttl(secs(7200)));
    assert_eq!(hours, [1, 2, 4, 256, 2400].map(secs));
    let second = pauses(Settings::new().ttl(secs(1)));
    assert_eq!(second[0], Duration::from_millis(100));
    assert_eq!(second[3], second[4]);
}

#[test]
fn defaults_match_the_documentation() {
    let timing = resolve(&Settings::new()).unwrap();
    assert_eq!(timing.margin, Duration::from_millis(750));
    assert_eq!(timing.stop_grace, secs(5));
    assert_eq!(timing.tolerance, Duration::from_millis(9250));
    assert_eq!(timing.heartbeat_interval, secs(3));
    assert_eq!(timing.poll_interval, secs(5));
}

#[test]
fn defaults_are_valid_for_every_ttl() {
    for millis in [10, 11, 99, 1000, 1001, 14_999, 60_000, 86_400_000] {
        for retries in [0, 1, 3, 100] {
            let settings = Settings::new().ttl(Duration::from_millis(millis));
            let resolved = resolve(&settings.heartbeat_retries(retries));
            // Only a hundred retries within such a short ttl are impossible with any defaults.
            if millis >= 1000 || retries < 4 {
                resolved.unwrap();
            }
        }
    }
}

#[test]
fn errors_about_contradictions_name_the_values_and_the_fix() {
    for (settings, parts) in [
        (Settings::new().ttl(Duration::ZERO), vec!["0ns", "use"]),
        (Settings::new().ttl(secs(100_000)), vec!["100000s", "use"]),
        (Settings::new().stop_grace(secs(15)), vec!["15s", "stop grace", "longer ttl"]),
        (Settings::new().stop_grace(Duration::MAX), vec!["stop grace"]),
        (Settings::new().tolerance(secs(12)), vec!["12s", "5s", "750ms", "9.25s or less"]),
        (Settings::new().heartbeat_interval(secs(8)), vec!["8s", "3 retries", "9.25s"]),
        (Settings::new().heartbeat_interval(Duration::ZERO), vec!["heartbeat interval", "0ns"]),
        (Settings::new().poll_interval(Duration::ZERO), vec!["poll interval", "0ns"]),
        (Settings::new().poll_interval(Duration::MAX), vec!["poll interval"]),
        (Settings::new().margin(Duration::ZERO), vec!["margin", "30ms or more"]),
        (Settings::new().margin(secs(20)), vec!["20s"]),
        (Settings::new().heartbeat_retries(1000), vec!["1000", "at most 100"]),
        (Settings::new().start_delay(Duration::MAX), vec!["start delay"]),
    ] {
        let error = resolve(&settings).unwrap_err();
        assert!(error.is_invalid());
        for part in parts {
            assert!(error.to_string().contains(part), "{part:?} is not in {error}");
        }
    }
}

#[test]
fn the_last_retry_ends_within_the_tolerance() {
    for retries in 0..20 {
        let timing = resolve(&Settings::new().heartbeat_retries(retries)).unwrap();
        let last_ends = timing.heartbeat_interval + timing.retry_interval() * (retries + 1);
        assert!(last_ends <= timing.tolerance);
        assert!(timing.tolerance + timing.stop_grace + timing.margin <= timing.ttl);
    }
}
