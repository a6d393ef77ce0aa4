//! The log, on standard error.

use std::io::IsTerminal;

use leasehold::configuration::{Configuration, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::exit::Failure;
use super::stderr::{say, set_format};
use super::table::colours;

/// Begins to log, and tells what the settings gave rise to.
pub(crate) fn begin(configuration: &Configuration) -> Result<(), Failure> {
    // Of the engine only what nobody may miss: `run` tells in its own words when a store fails.
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
        say(warning);
    }
    for word in modules_alone(configuration.log.as_deref().unwrap_or_default()) {
        say(&format!(
            "log filter {word:?} is not a level, so it is read as a module name; levels are off, \
             error, warn, info, debug and trace"
        ));
    }
    Ok(())
}

/// The words of a filter that are no levels, and so name modules of which all is logged: more likely
/// a level that is misspelt, which silences the log.
fn modules_alone(filter: &str) -> Vec<&str> {
    // Spans and their fields have commas of their own.
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
            assert!(modules_alone(good).is_empty(), "{good}");
        }
        assert_eq!(modules_alone("inof, hyper=warn,verbose"), ["inof", "verbose"]);
    }
}
