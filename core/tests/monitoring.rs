//! The documentation, the dashboard and the alerts name only existing metrics.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use leasehold_core::telemetry::{METRICS, MetricKind};
use metrics::Unit;

fn read(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(file)).unwrap()
}

/// Returns the metrics that a text names, by the names under which an application records them.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("leasehold_"));
    names
        .map(|name| {
            let suffixes = ["_bucket", "_sum", "_count"];
            suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
        })
        .collect()
}

fn known() -> BTreeSet<&'static str> {
    METRICS.iter().map(|metric| metric.name).collect()
}

#[test]
fn docs_metrics_table_matches_the_catalog() {
    let page = read("docs/reference/metrics.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| `leasehold_"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let kinds = |kind| match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
    };
    let expected: Vec<Vec<String>> = METRICS
        .iter()
        .map(|metric| {
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let unit = if metric.unit == Unit::Seconds { "seconds" } else { "" };
            vec![
                format!("`{}`", metric.name),
                kinds(metric.kind).to_owned(),
                unit.to_owned(),
                labels.join(", "),
                metric.help.to_owned(),
            ]
        })
        .collect();
    for (row, expected) in rows.iter().zip(&expected) {
        assert_eq!(row[..5], expected[..]);
        assert!(!row[5].is_empty(), "{} does not say which values are a concern", row[0]);
    }
    assert_eq!(rows.len(), expected.len());
    assert!(named(&page).is_subset(&known()), "{:?}", named(&page).difference(&known()));
}

#[test]
fn dashboards_and_alerts_use_only_catalogued_metrics() {
    let board = read("examples/monitoring/grafana.json");
    serde_json::from_str::<serde_json::Value>(&board).unwrap();
    assert_eq!(named(&board), known(), "the dashboard shows every metric");
    for file in ["alerts.yml", "alerts_test.yml"] {
        let text = read(&format!("examples/monitoring/{file}"));
        let (named, known) = (named(&text), known());
        assert!(!named.is_empty() && named.is_subset(&known), "{:?}", named.difference(&known));
    }
}

#[test]
fn every_alert_has_a_test_that_fires_it() {
    let (alerts, tests) =
        (read("examples/monitoring/alerts.yml"), read("examples/monitoring/alerts_test.yml"));
    let alerts: Vec<_> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(!alerts.is_empty());
    let fired: BTreeSet<_> = tests
        .split("alertname: ")
        .filter(|rest| rest.lines().nth(1).is_some_and(|line| line.trim() == "exp_alerts:"))
        .filter_map(|rest| rest.lines().next())
        .collect();
    for alert in alerts {
        assert!(fired.contains(alert), "{alert} fires in no test");
    }
}
