//! This recorder returns the metrics that changed since the last call.
#![allow(dead_code, reason = "each test has its own choice")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata,
    SharedString, Unit,
};

/// The recorder keeps every value, under `name` or `name{label=value,…}` without the prefix
/// `leasehold_`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestRecorder(Arc<Mutex<Recorded>>);

#[derive(Debug, Default)]
struct Recorded {
    values: BTreeMap<String, f64>,
    seen: BTreeMap<String, f64>,
    recorded: BTreeMap<String, Vec<f64>>,
    described: BTreeMap<String, Option<Unit>>,
}

impl TestRecorder {
    /// Returns the metrics whose value changed since the last call: the increase of a counter, the
    /// value of a gauge, and the number of values recorded in a histogram.
    pub(crate) fn take_changes(&self) -> BTreeMap<String, f64> {
        let mut state = self.0.lock().unwrap();
        let state = &mut *state;
        let before = std::mem::replace(&mut state.seen, state.values.clone());
        let changed = state
            .values
            .iter()
            .filter(|(key, value)| before.get(*key).copied().unwrap_or_default() != **value);
        changed
            .map(|(key, value)| {
                let counts = key.contains("_total") || key.contains("_seconds");
                let base = before.get(key).filter(|_| counts).copied().unwrap_or_default();
                (key.clone(), value - base)
            })
            .collect()
    }

    /// Returns the values of a histogram.
    pub(crate) fn recorded(&self, key: &str) -> Vec<f64> {
        self.0.lock().unwrap().recorded.get(key).cloned().unwrap_or_default()
    }

    pub(crate) fn value(&self, key: &str) -> Option<f64> {
        self.0.lock().unwrap().values.get(key).copied()
    }

    /// Returns every series that was registered.
    pub(crate) fn series(&self) -> Vec<String> {
        self.0.lock().unwrap().values.keys().cloned().collect()
    }

    pub(crate) fn described(&self) -> BTreeMap<String, Option<Unit>> {
        self.0.lock().unwrap().described.clone()
    }

    fn describe(&self, key: &KeyName, unit: Option<Unit>) {
        self.0.lock().unwrap().described.insert(key.as_str().to_owned(), unit);
    }

    fn series_of(&self, key: &Key) -> Arc<Series> {
        let labels: Vec<_> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = key.name().trim_start_matches("leasehold_");
        let key = match &labels[..] {
            [] => name.to_owned(),
            labels => format!("{name}{{{}}}", labels.join(",")),
        };
        self.0.lock().unwrap().values.entry(key.clone()).or_default();
        Arc::new(Series { key, recorder: self.clone() })
    }
}

struct Series {
    key: String,
    recorder: TestRecorder,
}

impl Series {
    fn add(&self, value: f64) {
        *self.recorder.0.lock().unwrap().values.entry(self.key.clone()).or_default() += value;
    }
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }

    fn absolute(&self, _: u64) {
        panic!("the engine sets no counter to an absolute value");
    }
}

impl GaugeFn for Series {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, value: f64) {
        self.recorder.0.lock().unwrap().values.insert(self.key.clone(), value);
    }
}

impl HistogramFn for Series {
    fn record(&self, value: f64) {
        self.add(1.0);
        let mut state = self.recorder.0.lock().unwrap();
        state.recorded.entry(self.key.clone()).or_default().push(value);
    }
}

impl metrics::Recorder for TestRecorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&key, unit);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&key, unit);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&key, unit);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series_of(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series_of(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series_of(key))
    }
}
