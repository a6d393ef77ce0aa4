//! From values to a configuration: filled in, checked, and shown.

use std::path::PathBuf;
use std::time::Duration;

use super::compat;
use super::keys::KEYS;
use super::layer::MergedValues;
use super::serve::Serve;
use super::settings::{Configuration, Setting};
use super::source::Origin;
use crate::{Error, LockStore, MemoryStore, Result, Settings, Timing};

/// Reads every value that holds, and checks that they fit together.
pub(super) fn configuration(
    merged: &MergedValues,
    files: Vec<PathBuf>,
    warnings: Vec<String>,
) -> Result<Configuration> {
    let (settings, derived, timing) = timing(merged)?;
    let mut configuration = Configuration {
        store: merged.store()?,
        namespace: merged.namespace()?.unwrap_or_default(),
        store_connections: merged.positive("store_connections")?,
        label: merged.label()?,
        lock_name: merged.lock_name()?,
        settings,
        hints: merged.boolean("hints")?.unwrap_or(true),
        wait: merged.duration("wait")?,
        respawn: merged.boolean("respawn")?.unwrap_or_default(),
        log: merged.text("log")?,
        log_format: merged.log_format()?.unwrap_or_default(),
        metrics: merged.address("metrics")?,
        serve: Serve::new(merged)?,
        files,
        warnings,
        shown: Vec::new(),
        timing,
    };
    let shown = KEYS.iter().map(|key| {
        let (value, duration) = match value(&configuration, key.name) {
            DisplayedValue::Nothing => (None, None),
            DisplayedValue::Text(text) => (Some(text), None),
            DisplayedValue::Duration(Duration::ZERO) => {
                (Some("0s".to_owned()), Some(Duration::ZERO))
            }
            DisplayedValue::Duration(span) => (Some(format!("{span:?}")), Some(span)),
        };
        let origin = match (key.name, &derived) {
            ("ttl", Some(from)) => Origin::Derived(from.clone()),
            (name, _) => merged.origin(name),
        };
        Setting { key: key.name, value, origin, duration }
    });
    configuration.shown = shown.collect();
    Ok(configuration)
}

/// The settings, and what the ttl was derived from if it was.
fn settings(merged: &MergedValues) -> Result<(Settings, Option<String>)> {
    let mut settings = Settings::new();
    let margin = merged.duration("margin")?;
    let stop_grace = merged.duration("stop_grace")?;
    let tolerance = merged.duration("tolerance")?;
    let interval = merged.duration("heartbeat_interval")?;
    let retries = merged.count("heartbeat_retries")?.unwrap_or(3);
    let mut derived = None;
    match merged.duration("ttl")? {
        Some(ttl) => settings = settings.ttl(ttl),
        None => {
            // The original has no ttl, and its other settings need not fit our default.
            let from = ["heartbeat_interval", "tolerance"]
                .map(|name| merged.is_from_original(name).then(|| merged.origin(name).to_string()));
            let from: Vec<_> = from.into_iter().flatten().collect();
            if !from.is_empty() {
                let ttl = compat::ttl(interval, retries, tolerance, stop_grace, margin);
                settings = settings.ttl(ttl);
                derived = Some(from.join(" and "));
            }
        }
    }
    settings = settings.heartbeat_retries(retries);
    if let Some(margin) = margin {
        settings = settings.margin(margin);
    }
    if let Some(grace) = stop_grace {
        settings = settings.stop_grace(grace);
    }
    if let Some(tolerance) = tolerance {
        settings = settings.tolerance(tolerance);
    }
    if let Some(interval) = interval {
        settings = settings.heartbeat_interval(interval);
    }
    if let Some(interval) = merged.duration("poll_interval")? {
        settings = settings.poll_interval(interval);
    }
    if let Some(delay) = merged.duration("start_delay")? {
        settings = settings.start_delay(delay);
    }
    Ok((settings, derived))
}

/// The settings that must be consistent with each other.
pub(super) const TIMING: [&str; 8] = [
    "ttl",
    "margin",
    "stop_grace",
    "tolerance",
    "heartbeat_interval",
    "heartbeat_retries",
    "poll_interval",
    "start_delay",
];

/// Returns the settings, what the ttl was derived from (if it was derived), and the timing with
/// defaults applied.
pub(super) fn timing(merged: &MergedValues) -> Result<(Settings, Option<String>, Timing)> {
    let (settings, derived) = settings(merged)?;
    // The settings are checked against the limits of their own store when that is opened.
    let timing = settings
        .resolve(&MemoryStore::new().capabilities())
        .map_err(|error| inconsistent(merged, &error))?;
    Ok((settings, derived, timing))
}

/// Returns the error for settings that contradict each other, with the source of each.
fn inconsistent(merged: &MergedValues, error: &Error) -> Error {
    let set = TIMING.iter().filter(|name| merged.0.contains_key(*name));
    let set: Vec<_> = set.map(|name| format!("{name} from {}", merged.origin(name))).collect();
    Error::invalid(format!("{error} ({})", set.join(", ")))
}

/// A value, to be shown.
enum DisplayedValue {
    Nothing,
    Text(String),
    Duration(Duration),
}

fn value(configuration: &Configuration, name: &str) -> DisplayedValue {
    let timing = &configuration.timing;
    let text = |text: Option<String>| text.map_or(DisplayedValue::Nothing, DisplayedValue::Text);
    match name {
        "store" => text(configuration.store.as_ref().map(ToString::to_string)),
        "namespace" => DisplayedValue::Text(configuration.namespace.to_string()),
        "store_connections" => text(configuration.store_connections.map(|most| most.to_string())),
        "label" => text(configuration.label.clone()),
        "lock_name" => text(configuration.lock_name.as_ref().map(ToString::to_string)),
        "ttl" => DisplayedValue::Duration(timing.ttl),
        "margin" => DisplayedValue::Duration(timing.margin),
        "stop_grace" => DisplayedValue::Duration(timing.stop_grace),
        "tolerance" => DisplayedValue::Duration(timing.tolerance),
        "heartbeat_interval" => DisplayedValue::Duration(timing.heartbeat_interval),
        "heartbeat_retries" => DisplayedValue::Text(timing.heartbeat_retries.to_string()),
        "poll_interval" => DisplayedValue::Duration(timing.poll_interval),
        "hints" => DisplayedValue::Text(configuration.hints.to_string()),
        "start_delay" => DisplayedValue::Duration(timing.start_delay),
        "wait" => configuration.wait.map_or(DisplayedValue::Nothing, DisplayedValue::Duration),
        "respawn" => DisplayedValue::Text(configuration.respawn.to_string()),
        "log" => text(configuration.log.clone()),
        "log_format" => DisplayedValue::Text(configuration.log_format.as_str().to_owned()),
        "metrics" => text(configuration.metrics.map(|address| address.to_string())),
        other => text(configuration.serve.shown(other)),
    }
}
