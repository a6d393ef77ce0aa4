//! This module turns values into a configuration, whose settings are filled in, checked and shown.

use std::path::PathBuf;

use super::compat;
use super::known::KnownKeys;
use super::layer::MergedValues;
use super::parse::DisplayedValue;
use super::settings::{Configuration, Setting};
use super::source::Origin;
use crate::{Error, LockStore, MemoryStore, Result, Settings, Timing};

/// Reads every value that applies, and checks that they are consistent.
pub(super) fn configuration(
    keys: &KnownKeys,
    merged: &MergedValues,
    files: Vec<PathBuf>,
    warnings: Vec<String>,
) -> Result<Configuration> {
    let (settings, derived, timing) = timing(merged)?;
    let mut configuration = Configuration {
        store: merged.store("store")?,
        namespace: merged.namespace("namespace")?.unwrap_or_default(),
        store_connections: merged.connections("store_connections")?,
        label: merged.label("label")?,
        lock_name: merged.lock_name("lock_name")?,
        settings,
        hints: merged.boolean("hints")?.unwrap_or(true),
        files,
        warnings,
        shown: Vec::new(),
        timing,
    };
    for key in keys.iter() {
        let value = match filled_in(&configuration, key.name) {
            Some(value) => Some(value),
            None => merged.displayed(key)?,
        };
        let (value, duration, url) = match value {
            None => (None, None, None),
            Some(DisplayedValue::Text(text)) => (Some(text), None, None),
            Some(DisplayedValue::Duration(span)) if span.is_zero() => {
                (Some("0s".to_owned()), Some(span), None)
            }
            Some(DisplayedValue::Duration(span)) => (Some(format!("{span:?}")), Some(span), None),
            Some(DisplayedValue::Url(url)) => (Some(url.to_string()), None, Some(url)),
        };
        let origin = match (key.name, &derived) {
            ("ttl", Some(from)) => Origin::Derived(from.clone()),
            (name, _) => merged.origin(name),
        };
        configuration.shown.push(Setting { key: key.name, value, origin, duration, url });
    }
    Ok(configuration)
}

/// Returns the settings, and what the ttl was derived from if it was derived.
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

/// These settings must be consistent with each other.
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

/// Returns the value of a setting that always has one, because the library fills in its default.
fn filled_in(configuration: &Configuration, name: &str) -> Option<DisplayedValue> {
    let timing = &configuration.timing;
    Some(match name {
        "namespace" => DisplayedValue::Text(configuration.namespace.to_string()),
        "ttl" => DisplayedValue::Duration(timing.ttl),
        "margin" => DisplayedValue::Duration(timing.margin),
        "stop_grace" => DisplayedValue::Duration(timing.stop_grace),
        "tolerance" => DisplayedValue::Duration(timing.tolerance),
        "heartbeat_interval" => DisplayedValue::Duration(timing.heartbeat_interval),
        "heartbeat_retries" => DisplayedValue::Text(timing.heartbeat_retries.to_string()),
        "poll_interval" => DisplayedValue::Duration(timing.poll_interval),
        "hints" => DisplayedValue::Text(configuration.hints.to_string()),
        "start_delay" => DisplayedValue::Duration(timing.start_delay),
        _ => return None,
    })
}
