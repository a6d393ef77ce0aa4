//! The log, on standard error.

use std::io::IsTerminal;
use std::sync::OnceLock;

use leasehold::configuration::{Configuration, LogFormat};
use tracing_subscriber::EnvFilter;

use crate::exit::{Failure, say};
use crate::output;

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// How standard error is written; as text until the settings are known.
pub(crate) fn format() -> LogFormat {
    FORMAT.get().copied().unwrap_or_default()
}

/// Begins to log, and tells what the settings gave rise to.
pub(crate) fn begin(configuration: &Configuration) -> Result<(), Failure> {
    // Of the engine only what nobody may miss: `run` tells in its own words when a store fails.
    const DEFAULT: &str = "warn,leasehold_core=error,leasehold::sqlite=error";
    let filter = match &configuration.log {
        Some(filter) => EnvFilter::builder().parse(filter).map_err(|error| {
            let from = configuration.origin("log").map(ToString::to_string).unwrap_or_default();
            Failure::usage(format!(
                "{from}: {filter:?} is no filter: {error}; use info, debug, or module=level,…"
            ))
        })?,
        None => EnvFilter::new(DEFAULT),
    };
    let format = *FORMAT.get_or_init(|| configuration.log_format);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => log.json().init(),
        _ => log.with_ansi(output::colours(std::io::stderr().is_terminal())).init(),
    }
    for warning in &configuration.warnings {
        say(warning);
    }
    Ok(())
}
