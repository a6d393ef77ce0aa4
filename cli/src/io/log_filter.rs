//! The filter of the log chooses events by level and by module, and also by span in a build with
//! the feature `log-spans`.

#[cfg(feature = "log-spans")]
use tracing_subscriber::EnvFilter as LogFilter;
#[cfg(not(feature = "log-spans"))]
use tracing_subscriber::filter::{LevelFilter, Targets as LogFilter};

/// Parses a filter such as `warn,leasehold_core=error`.
#[cfg(feature = "log-spans")]
pub(super) fn parse(text: &str) -> Result<LogFilter, String> {
    LogFilter::builder().parse(text).map_err(|error| error.to_string())
}

/// Parses a filter such as `warn,leasehold_core=error`.
#[cfg(not(feature = "log-spans"))]
pub(super) fn parse(text: &str) -> Result<LogFilter, String> {
    if text.contains(['[', '{']) {
        return Err(
            "filters by span are not in this build; the feature \"log-spans\" adds them".to_owned()
        );
    }
    let words: Vec<_> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        // An empty filter means the same in a build with filters by span.
        return Ok(LogFilter::new().with_default(LevelFilter::ERROR));
    }
    words.join(",").parse::<LogFilter>().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_and_modules() {
        for good in ["", "info", "WARN", "debug,hyper=info", "leasehold_core=trace, warn"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        assert!(parse("hyper=loud").is_err());
        assert_eq!(parse("[term]=info").is_ok(), cfg!(feature = "log-spans"));
    }
}
