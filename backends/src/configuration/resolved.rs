//! From values to a configuration: filled in, checked, and shown.

use std::path::PathBuf;

use super::keys::{KEYS, Kind};
use super::layer::Merged;
use super::origin::Origin;
use super::original;
use super::{Configuration, Setting};
use crate::{Error, LockStore, MemoryStore, Result, Settings, Timing};

/// Reads every value that holds, and checks that they fit together.
pub(super) fn configuration(
    merged: &Merged,
    files: Vec<PathBuf>,
    warnings: Vec<String>,
) -> Result<Configuration> {
    let (settings, derived) = settings(merged)?;
    // What any store can do: the settings are held against their own store when it is opened.
    let timing = settings
        .resolve(&MemoryStore::new().capabilities())
        .map_err(|error| contradiction(merged, &error))?;
    let mut configuration = Configuration {
        store: merged.store()?,
        namespace: merged.namespace()?.unwrap_or_default(),
        label: merged.label()?,
        lock_name: merged.lock_name()?,
        settings,
        wait: merged.duration("wait")?,
        respawn: merged.switch("respawn")?.unwrap_or_default(),
        log: merged.text("log")?,
        log_format: merged.log_format()?.unwrap_or_default(),
        files,
        warnings,
        shown: Vec::new(),
        timing,
    };
    let shown = KEYS.iter().map(|key| Setting {
        key: key.name,
        value: value(&configuration, key.name),
        origin: match (key.name, &derived) {
            ("ttl", Some(from)) => Origin::Derived(from.clone()),
            (name, _) => merged.origin(name),
        },
        is_duration: key.kind == Kind::Duration,
    });
    configuration.shown = shown.collect();
    Ok(configuration)
}

/// The settings, and what the ttl was derived from if it was.
fn settings(merged: &Merged) -> Result<(Settings, Option<String>)> {
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
                .map(|name| merged.is_originals(name).then(|| merged.origin(name).to_string()));
            let from: Vec<_> = from.into_iter().flatten().collect();
            if !from.is_empty() {
                let ttl = original::ttl(interval, retries, tolerance, stop_grace, margin);
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

/// Of settings that do not fit together: what is wrong, and who set what.
fn contradiction(merged: &Merged, error: &Error) -> Error {
    const TIMING: [&str; 8] = [
        "ttl",
        "margin",
        "stop_grace",
        "tolerance",
        "heartbeat_interval",
        "heartbeat_retries",
        "poll_interval",
        "start_delay",
    ];
    let set = TIMING.iter().filter(|name| merged.0.contains_key(*name));
    let set: Vec<_> = set.map(|name| format!("{name} from {}", merged.origin(name))).collect();
    Error::invalid(format!("{error} ({})", set.join(", ")))
}

/// The value as it would be written; none where there is none.
fn value(configuration: &Configuration, name: &str) -> Option<String> {
    let Timing {
        ttl,
        margin,
        stop_grace,
        tolerance,
        heartbeat_interval,
        heartbeat_retries,
        poll_interval,
        start_delay,
        ..
    } = &configuration.timing;
    let span = |span: &std::time::Duration| Some(format!("{span:?}"));
    match name {
        "store" => configuration.store.as_ref().map(ToString::to_string),
        "namespace" => Some(configuration.namespace.to_string()),
        "label" => configuration.label.clone(),
        "lock_name" => configuration.lock_name.as_ref().map(ToString::to_string),
        "ttl" => span(ttl),
        "margin" => span(margin),
        "stop_grace" => span(stop_grace),
        "tolerance" => span(tolerance),
        "heartbeat_interval" => span(heartbeat_interval),
        "heartbeat_retries" => Some(heartbeat_retries.to_string()),
        "poll_interval" => span(poll_interval),
        "start_delay" => span(start_delay),
        "wait" => configuration.wait.as_ref().and_then(span),
        "respawn" => Some(configuration.respawn.to_string()),
        "log" => configuration.log.clone(),
        "log_format" => Some(configuration.log_format.as_str().to_owned()),
        _ => None,
    }
}
