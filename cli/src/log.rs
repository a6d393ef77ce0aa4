//! The log, on standard error.

use std::io::IsTerminal;
use std::sync::OnceLock;

use leasehold::configuration::{Configuration, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

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
        Some(filter) => parse(filter).map_err(|why| {
            let from = configuration.origin("log").map(ToString::to_string).unwrap_or_default();
            Failure::usage(format!(
                "{from}: {filter:?} is no filter: {why}; use off, error, warn, info, debug or \
                 trace, or module=level,…"
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

/// A word alone would be the name of a module, of which all is logged. A level that is misspelt is
/// more likely, and would log nothing.
fn parse(filter: &str) -> Result<EnvFilter, String> {
    let bare = |word: &&str| word.chars().all(|c| c.is_ascii_alphanumeric());
    for word in filter.split(',').map(str::trim).filter(|word| !word.is_empty()).filter(bare) {
        if word.parse::<LevelFilter>().is_err() {
            return Err(format!("{word:?} is no level"));
        }
    }
    EnvFilter::builder().parse(filter).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_misspelt_is_refused() {
        for good in
            ["info", "WARN", "off", "debug,hyper=info", "leasehold_core=trace, warn", "a::b"]
        {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["inof", "info,verbose", "warn,a=b"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
