//! Metrics are described with their units, and their names follow the rules of Prometheus.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/recorder.rs"]
mod recorder;

use std::collections::BTreeMap;

use leasehold_core::telemetry::{METRICS, MetricKind, describe};
use metrics::{Unit, with_local_recorder};
use recorder::TestRecorder;

#[test]
fn every_metric_is_described_with_its_unit() {
    let recorder = TestRecorder::default();
    with_local_recorder(&recorder, describe);
    let units: BTreeMap<_, _> =
        METRICS.iter().map(|metric| (metric.name.to_owned(), Some(metric.unit))).collect();
    assert_eq!(recorder.described(), units);
}

#[test]
fn metric_names_end_in_their_unit_or_total() {
    for metric in METRICS {
        let name = metric.name;
        assert_eq!(name.ends_with("_total"), metric.kind == MetricKind::Counter, "{name}");
        assert_eq!(name.ends_with("_seconds"), metric.unit == Unit::Seconds, "{name}");
        assert_eq!(metric.buckets.is_empty(), metric.kind != MetricKind::Histogram, "{name}");
        assert!(metric.buckets.is_sorted(), "{name}");
    }
}
