//! This module defines the arguments of the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::help::{AFTER_HELP, PRUNE_HELP, RESIGN_HELP, RUN_HELP, SERVE_HELP};
use crate::io::exit::{Failure, NOT_ACQUIRED};
use crate::options::{AccessSettings, CommonArgs, RunSettings, ServeSettings};

/// Named locks and leader election on the datastore you already have.
#[derive(Debug, Parser)]
#[command(name = "leasehold", version, after_help = AFTER_HELP, max_term_width = 100)]
#[command(arg_required_else_help = false)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: CommonArgs,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command for as long as this process holds a lock
    #[command(after_help = RUN_HELP)]
    Run(RunArgs),
    /// Show locks: their holders and waiters, and which are disabled
    Status(StatusArgs),
    /// Disable a lock until it is enabled; its holders stop
    Disable(DisableArgs),
    /// Let a disabled lock be granted again
    Enable(EnableArgs),
    /// Ask the leader of a lock to step down so that another takes over
    #[command(after_help = RESIGN_HELP)]
    Resign(ResignArgs),
    /// Remove the records of unused names; without --apply, only print the names
    #[command(after_help = PRUNE_HELP)]
    Prune(PruneArgs),
    /// Print the statements that create the store's schema, for your own migrations
    Schema(SchemaArgs),
    /// Serve the HTTP control API
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Show every setting, its value and where it comes from
    Config(ConfigArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print a manual page
    Man(ManArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) settings: ServeSettings,

    #[command(flatten)]
    pub(crate) access: AccessSettings,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Print nothing if the lock is not acquired because it is held or disabled
    #[arg(long, short)]
    pub(crate) quiet: bool,

    /// The exit status if the lock is not acquired because it is held or disabled
    #[arg(long, short = 'E', value_name = "STATUS", default_value_t = NOT_ACQUIRED)]
    pub(crate) conflict_exit_code: u8,

    #[command(flatten)]
    pub(crate) settings: RunSettings,

    #[command(flatten)]
    pub(crate) access: AccessSettings,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD", help_heading = None::<&str>)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Only the lock of this name
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Write JSON: an object for NAME, else an array; with --watch one document per line
    #[arg(long)]
    pub(crate) json: bool,

    /// Keep running and show every change
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DisableArgs {
    /// The lock's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// The reason, shown to others
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) reason: String,

    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EnableArgs {
    /// The lock's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResignArgs {
    /// The lock's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// The reason, passed to the leader
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, default_value = "resign")]
    pub(crate) reason: String,

    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PruneArgs {
    /// Only names whose latest grant is at least this long ago, such as 12h or 30d
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = age)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) unused_for: Duration,

    /// Remove the names after printing them
    #[arg(long)]
    pub(crate) apply: bool,

    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Parses a duration that may also be in weeks and days of 24 hours.
fn age(text: &str) -> Result<Duration, String> {
    let span: Result<jiff::Span, _> = text.trim().parse();
    let duration =
        span.and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()));
    let duration = duration.ok().and_then(|duration| Duration::try_from(duration).ok());
    duration.ok_or_else(|| "use a duration with its unit, such as 12h or 30d".to_owned())
}

#[derive(Debug, clap::Args)]
pub(crate) struct SchemaArgs {
    /// Create the schema in the store instead, if it is missing
    #[arg(long)]
    pub(crate) apply: bool,

    /// Print the statements that create the fence's tables in that database instead
    #[arg(long, value_name = "URL", conflicts_with = "apply")]
    pub(crate) fence: Option<String>,

    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    pub(crate) run: RunSettings,

    #[command(flatten)]
    pub(crate) access: AccessSettings,

    #[command(flatten)]
    pub(crate) serve: ServeSettings,

    /// Write JSON
    #[arg(long, help_heading = None::<&str>)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// The page of this command [default: that of leasehold itself]
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,

    /// Write all pages into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub(crate) dir: Option<PathBuf>,
}

/// Parses the command line; this prints the help and the version.
///
/// # Errors
/// This fails with a message of one line, where clap would write several.
pub(crate) fn parse() -> Result<Args, Failure> {
    Args::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            Failure::silent(0)
        }
        _ => Failure::usage(in_one_line(&error.render().to_string())),
    })
}

/// Returns clap's message in one line, without the usage that clap adds.
fn in_one_line(text: &str) -> String {
    let lines = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty());
    let mut line = lines.collect::<Vec<_>>().join(" ").replace(" tip:", "; tip:");
    if let Some(rest) = line.strip_prefix("error: ") {
        line = rest.to_owned();
    }
    line + "; see 'leasehold --help'"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_definition_is_valid() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn an_age_can_be_given_in_days() {
        assert_eq!(age("30d"), Ok(Duration::from_secs(30 * 24 * 60 * 60)));
        assert_eq!(age("1w 12h"), Ok(Duration::from_secs((7 * 24 + 12) * 60 * 60)));
        assert_eq!(age("0s"), Ok(Duration::ZERO));
        for wrong in ["", "30", "-1d", "1 month", "soon"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
