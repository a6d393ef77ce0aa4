//! Any settings with any store are refused, or fit together as documented.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use leasehold::{Capabilities, MAX_TTL, Reach, Settings, StoreClock, Timing, Wake};

#[derive(Debug, Arbitrary)]
struct Input {
    min_ttl: Length,
    ttl_step: Length,
    ttl: Option<Length>,
    margin: Option<Length>,
    stop_grace: Option<Length>,
    tolerance: Option<Length>,
    heartbeat_interval: Option<Length>,
    heartbeat_retries: Option<u32>,
    few_retries: Option<u8>,
    poll_interval: Option<Length>,
    start_delay: Option<Length>,
}

/// This is a duration, usually of a size that makes sense.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Length {
    Nanos(u32),
    Micros(u32),
    Millis(u16),
    Seconds(u16),
    Any(Duration),
}

impl From<Length> for Duration {
    fn from(length: Length) -> Self {
        match length {
            Length::Nanos(nanos) => Self::from_nanos(nanos.into()),
            Length::Micros(micros) => Self::from_micros(micros.into()),
            Length::Millis(millis) => Self::from_millis(millis.into()),
            Length::Seconds(seconds) => Self::from_secs(seconds.into()),
            Length::Any(duration) => duration,
        }
    }
}

libfuzzer_sys::fuzz_target!(|input: Input| {
    let capabilities = Capabilities::new(StoreClock::Server, Reach::Network, Wake::Push)
        .with_min_ttl(input.min_ttl.into())
        .with_ttl_step(input.ttl_step.into())
        .with_renew_batch(1);
    let timing = match settings(&input).resolve(&capabilities) {
        Ok(timing) => timing,
        Err(error) => {
            assert!(error.is_invalid(), "{error}");
            return;
        }
    };
    check(&timing, &capabilities);
    kept(&timing, &input);
    assert_eq!(as_given(&timing, &input).resolve(&capabilities).unwrap(), timing);
});

fn settings(input: &Input) -> Settings {
    type Set = fn(Settings, Duration) -> Settings;
    let set = |settings, set: Set, length: Option<Length>| match length {
        Some(length) => set(settings, length.into()),
        None => settings,
    };
    let mut settings = set(Settings::new(), Settings::ttl, input.ttl);
    settings = set(settings, Settings::margin, input.margin);
    settings = set(settings, Settings::stop_grace, input.stop_grace);
    settings = set(settings, Settings::tolerance, input.tolerance);
    settings = set(settings, Settings::heartbeat_interval, input.heartbeat_interval);
    settings = set(settings, Settings::poll_interval, input.poll_interval);
    settings = set(settings, Settings::start_delay, input.start_delay);
    match retries(input) {
        Some(retries) => settings.heartbeat_retries(retries),
        None => settings,
    }
}

fn retries(input: &Input) -> Option<u32> {
    input.few_retries.map(u32::from).or(input.heartbeat_retries)
}

/// Asserts the rules in the documentation of `Settings` and `Timing`.
fn check(timing: &Timing, capabilities: &Capabilities) {
    let fits = (capabilities.min_ttl..=MAX_TTL).contains(&timing.ttl);
    assert!(fits, "the store does not grant {timing:?}");
    let used = timing.tolerance + timing.stop_grace + timing.margin;
    assert!(used <= timing.ttl, "stopping does not end within the ttl: {timing:?}");
    let retries = timing.retry_interval() * (timing.heartbeat_retries + 1);
    let last_ends = timing.heartbeat_interval + retries;
    assert!(last_ends <= timing.tolerance, "the last retry ends too late: {timing:?}");
    // The comparison is in nanoseconds, because no clock shows fractions of them.
    assert!(timing.margin.as_nanos() >= timing.ttl.as_nanos() / u128::from(Timing::DRIFT));
    let polls = [timing.poll_interval, timing.poll_interval_with_hints];
    for interval in polls.into_iter().chain([timing.heartbeat_interval]) {
        assert!((Duration::from_millis(1)..=MAX_TTL).contains(&interval), "{timing:?}");
    }
    assert!(timing.poll_interval <= timing.poll_interval_with_hints, "{timing:?}");
    assert!(timing.start_delay <= MAX_TTL);
    assert!(!timing.call_limit().is_zero() && timing.call_limit() <= timing.tolerance);
}

/// Asserts that no given value is replaced by another one.
fn kept(timing: &Timing, input: &Input) {
    for (given, used) in [
        (input.ttl, timing.ttl),
        (input.margin, timing.margin),
        (input.stop_grace, timing.stop_grace),
        (input.tolerance, timing.tolerance),
        (input.heartbeat_interval, timing.heartbeat_interval),
        (input.poll_interval, timing.poll_interval),
        (input.poll_interval, timing.poll_interval_with_hints),
        (input.start_delay, timing.start_delay),
    ] {
        assert!(given.is_none_or(|given| Duration::from(given) == used), "{timing:?}");
    }
    assert!(retries(input).is_none_or(|given| given == timing.heartbeat_retries));
}

/// Returns the same settings with every default filled in, except that of the poll interval, which
/// is another one with hints.
fn as_given(timing: &Timing, input: &Input) -> Settings {
    let settings = Settings::new()
        .ttl(timing.ttl)
        .margin(timing.margin)
        .stop_grace(timing.stop_grace)
        .tolerance(timing.tolerance)
        .heartbeat_interval(timing.heartbeat_interval)
        .heartbeat_retries(timing.heartbeat_retries)
        .start_delay(timing.start_delay);
    match input.poll_interval {
        Some(_) => settings.poll_interval(timing.poll_interval),
        None => settings,
    }
}
