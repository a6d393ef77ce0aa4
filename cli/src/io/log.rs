//! The log is written to standard error.

use std::io::IsTerminal;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::exit::Failure;
use super::log_filter;
use super::log_format::LogFormat;
use super::stderr::{print_message, set_format};
use super::table::colours;
use crate::settings::configuration::CliConfiguration;

/// Starts logging, and prints the warnings about the settings.
pub(crate) fn begin(configuration: &CliConfiguration) -> Result<(), Failure> {
    // Only errors of the engine are logged by default: `run` has its own messages about a failing
    // store.
    const DEFAULT: &str = "warn,leasehold_core=error,leasehold::sqlite=error";
    let filter = configuration.log.as_deref().unwrap_or(DEFAULT);
    let filter = log_filter::parse(filter).map_err(|error| {
        let from = configuration.origin("log").map(ToString::to_string).unwrap_or_default();
        Failure::usage(format!(
            "{from}: {filter:?} is not a valid filter: {error}; \
             use info, debug, or module=level,…"
        ))
    })?;
    let format = set_format(configuration.log_format);
    let filtered = tracing_subscriber::registry().with(filter);
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Json => filtered.with(log.json()).init(),
        _ => {
            let coloured = colours(std::io::stderr().is_terminal());
            filtered.with(log.with_ansi(coloured)).init();
        }
    }
    for warning in &configuration.library.warnings {
        print_message(warning);
    }
    for word in misspelt_levels(configuration.log.as_deref().unwrap_or_default()) {
        print_message(&format!(
            "log filter {word:?} is not a level, so it is read as a module name; levels are off, \
             error, warn, info, debug and trace"
        ));
    }
    Ok(())
}

/// Returns the words of a filter that look like levels but are not. They enable the logs of a
/// module of that name, but more likely each is a misspelt level, which would silence the log.
fn misspelt_levels(filter: &str) -> Vec<&str> {
    // Filters by span may contain commas.
    let words = filter.split(',').filter(|_| !filter.contains(['[', '{']));
    let bare = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric());
    let is_level = |word: &&str| word.parse::<LevelFilter>().is_ok();
    words.map(str::trim).filter(bare).filter(|word| !is_level(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_causes_a_warning() {
        for good in [
            "info",
            "WARN",
            "",
            "debug,hyper=info",
            "leasehold_core=trace, warn",
            "[term{lock,token}]=info",
        ] {
            assert!(misspelt_levels(good).is_empty(), "{good}");
        }
        assert_eq!(misspelt_levels("inof, hyper=warn,verbose"), ["inof", "verbose"]);
    }
}
