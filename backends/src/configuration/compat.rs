//! This module translates what the original, oe-master-job-executor, says in other terms than we
//! do.

use std::time::Duration;

use crate::{Holder, MAX_TTL};

/// Returns the label with which the original shows an instance: `host:port`.
pub(super) fn label(port: &str) -> String {
    format!("{}:{port}", Holder::current().host)
}

/// Returns the ttl that the original's heartbeats and tolerance need, in whole seconds.
///
/// The original has no ttl: a heartbeat older than the tolerance, by default three intervals, is
/// too old. Its leader could go on for longer than that; here the ttl covers the retries, the
/// stop and the margin too.
pub(super) fn ttl(
    interval: Option<Duration>,
    retries: u32,
    tolerance: Option<Duration>,
    stop_grace: Option<Duration>,
    margin: Option<Duration>,
) -> Duration {
    const GRACE: Duration = Duration::from_secs(5);
    // Whatever is longer than this is refused anyway, and can be multiplied without overflow.
    let bounded = |span: Duration| span.min(MAX_TTL * 2);
    let interval = bounded(interval.unwrap_or_default());
    let retrying = interval.saturating_mul(retries.min(1000) + 3) / 2;
    let needed = bounded(tolerance.unwrap_or_else(|| retrying.max(interval * 3)));
    // In each line: what is left of the ttl after stop grace and margin is what is needed.
    let ttl = match (stop_grace.map(bounded), margin.map(bounded)) {
        (Some(grace), Some(margin)) => needed + grace + margin,
        (Some(grace), None) => (needed + grace) * 20 / 19,
        (None, Some(margin)) => ((needed + margin) * 3 / 2).min(needed + margin + GRACE),
        (None, None) => (needed * 60 / 37).min((needed + GRACE) * 20 / 19),
    };
    let fraction = u64::from(ttl.subsec_nanos() > 0);
    Duration::from_secs(ttl.as_secs() + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LockStore, MemoryStore, Settings};

    #[test]
    fn derived_ttl_is_valid_for_all_inputs() {
        let millis = |millis: u64| Some(Duration::from_millis(millis));
        for interval in [None, millis(100), millis(1000), millis(8000), millis(15_000)] {
            for retries in [0, 1, 3, 10, 100] {
                for tolerance in [None, millis(800_000)] {
                    for grace in [None, millis(0), millis(30_000)] {
                        for margin in [None, millis(3000)] {
                            let ttl = ttl(interval, retries, tolerance, grace, margin);
                            if interval.is_none() && tolerance.is_none() {
                                continue;
                            }
                            let mut settings = Settings::new().ttl(ttl).heartbeat_retries(retries);
                            if let Some(interval) = interval {
                                settings = settings.heartbeat_interval(interval);
                            }
                            if let Some(tolerance) = tolerance {
                                settings = settings.tolerance(tolerance);
                            }
                            if let Some(grace) = grace {
                                settings = settings.stop_grace(grace);
                            }
                            if let Some(margin) = margin {
                                settings = settings.margin(margin);
                            }
                            settings.resolve(&MemoryStore::new().capabilities()).unwrap();
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn original_defaults_give_a_takeover_after_30_seconds() {
        let interval = Some(Duration::from_secs(8));
        assert_eq!(ttl(interval, 3, None, None, None), Duration::from_secs(31));
    }

    #[test]
    fn absurd_values_do_not_overflow() {
        let most = Some(Duration::MAX);
        assert!(ttl(most, u32::MAX, most, most, most) > MAX_TTL);
        assert!(ttl(most, u32::MAX, None, None, None) > MAX_TTL);
    }
}
