//! The log is written to standard error.

use std::io::IsTerminal;

use leasehold::configuration::{Configuration, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::exit::Failure;
use super::stderr::{print_message, set_format};
use super::table::colours;

/// Starts logging, and prints the warnings about the settings.
pub(crate) fn begin(configuration: &Configuration) -> Result<(), Failure> {
    // Only errors of the engine are logged by default: `run` has its own messages about a failing
    // store.
    const DEFAULT: &str = "warn,leasehold_core=error,leasehold::sqlite=error";
    let filter = match &configuration.log {
        Some(filter) => EnvFilter::builder().parse(filter).map_err(|error| {
            let from = configuration.origin("log").map(ToString::to_string).unwrap_or_default();
            Failure::usage(format!(
                "{from}: {filter:?} is not a valid filter: {error}; \
                 use info, debug, or module=level,…"
            ))
        })?,
        None => EnvFilter::new(DEFAULT),
    };
    let format = set_format(configuration.log_format);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => log.json().init(),
        _ => log.with_ansi(colours(std::io::stderr().is_terminal())).init(),
    }
    for warning in &configuration.warnings {
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
