//! Handles of metrics are looked up once, so a heartbeat of ten thousand leases only increments
//! numbers.

use std::fmt;

use metrics::Gauge;

/// There is one handle for each of the few values of a label.
#[derive(Debug)]
pub(super) struct PerLabel<T>(Vec<(&'static str, T)>);

impl<T> PerLabel<T> {
    pub(super) fn new<const N: usize>(
        values: [&'static str; N],
        register: impl Fn(&'static str) -> T,
    ) -> Self {
        Self(values.into_iter().map(|value| (value, register(value))).collect())
    }

    /// Calls `act` with the handle of that value.
    pub(super) fn with(&self, value: &'static str, act: impl FnOnce(&T)) {
        if let Some((_, handle)) = self.0.iter().find(|(known, _)| *known == value) {
            act(handle);
        }
    }
}

/// A gauge guard keeps a gauge one higher until it is dropped.
pub(crate) struct GaugeGuard(Gauge);

impl GaugeGuard {
    pub(super) fn new(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl fmt::Debug for GaugeGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GaugeGuard")
    }
}
