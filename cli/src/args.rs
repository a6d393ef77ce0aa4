//! What can be asked on the command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use jiff::SignedDuration;

use crate::exit::Failure;

const AFTER_HELP: &str = "\
Stores:
  sqlite:PATH   an SQLite file, for the processes of one machine
  memory:       this process's own memory, for trying things out
  Without --store: the environment variable LEASEHOLD_STORE, else an SQLite file in
  the user's state folder ($XDG_STATE_HOME/leasehold, else ~/.local/state/leasehold).

Exit statuses:
  0         done
  1         the store did not answer, or something else failed
  2         what was asked cannot be right: arguments, settings, or a store that is none
            or may not be written
  75        run: the lock was not had within --wait
  76        run: the lock was lost, or disabled, while the command ran
  126, 127  run: the command cannot be run; does not exist
  other     run: the command's own status, or 128+N when signal N ended it

Logging: LEASEHOLD_LOG=info (or debug, or a filter by module) on standard error.";

/// Named locks and leader election on the datastore you already have.
#[derive(Debug, Parser)]
#[command(name = "leasehold", version, after_help = AFTER_HELP, max_term_width = 100)]
#[command(arg_required_else_help = false)]
pub(crate) struct Args {
    /// The store's URL, such as sqlite:PATH [default: $LEASEHOLD_STORE, else a file in the user's
    /// state folder]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) store: Option<String>,

    /// The namespace of the locks in the store, where applications share one
    #[arg(long, global = true, value_name = "NS")]
    pub(crate) namespace: Option<String>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command for as long as this process holds a lock
    #[command(after_help = RUN_HELP)]
    Run(RunArgs),
    /// Show locks: who holds them, and which are disabled
    Status(StatusArgs),
    /// Grant a lock to nobody, until it is enabled; its holder stops in order
    Disable(DisableArgs),
    /// Let a disabled lock be granted again
    Enable(EnableArgs),
    /// Print the statements that create what the store needs, for your own migrations
    Schema(SchemaArgs),
    /// Serve the HTTP control API
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
}

const SERVE_HELP: &str = "\
Without a token only this machine is answered, and only a loopback address can be listened at. The
token is read from --token-file, else from the environment: LEASEHOLD_ADMIN_TOKEN has the token
itself, LEASEHOLD_ADMIN_TOKEN_FILE the name of its file. Make one with: openssl rand -hex 32

The API describes itself at /openapi.json.";

#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 chooses one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7475")]
    pub(crate) listen: SocketAddr,

    /// The file that has the token which callers must show
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// The server's certificate and those above it, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The certificate's private key, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// The most reads a second, all callers together
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) max_reads: u32,

    /// The most writes a second, all callers together
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) max_writes: u32,

    /// The most connections at a time
    #[arg(long, value_name = "N", default_value_t = 512)]
    #[arg(value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub(crate) max_connections: usize,
}

const RUN_HELP: &str = "\
The command finds the lock's name in LEASEHOLD_LOCK and the fencing token in LEASEHOLD_TOKEN: a
number that grows with every grant. Pass it to whatever the lock protects, and refuse there a
smaller one than was seen before.

It runs in a process group of its own, which never outlives the lease: a guard process ends the
group even if this one is stopped, killed or cut off. Only a process that leaves the group
(setsid), or a guard that is killed in the same moment, escapes. What the command leaves running in
its group when it exits is ended too, before the lock is released.

SIGINT and SIGTERM are passed on, then SIGKILL follows after the stop grace. SIGHUP, SIGQUIT,
SIGUSR1, SIGUSR2 and SIGWINCH are passed on. A terminal is not given to the command as its
standard input (it reads /dev/null instead); pipes and files are.

Durations are written as 250ms, 15s, 1m30s. Exit statuses: see `leasehold --help`.";

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The lock's name
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub(crate) lock: String,

    /// How long the lease lasts without a heartbeat: after a crash, another takes over that much
    /// later
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) ttl: Duration,

    /// How long to wait for the lock [default: as long as it takes]; 0s tries once
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) wait: Option<Duration>,

    /// How long the command has from SIGTERM to SIGKILL [default: 5s, or a third of the ttl if
    /// that is less]
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) stop_grace: Option<Duration>,

    /// When the lock is lost or disabled, campaign again and run the command anew, instead of
    /// exiting with 76
    #[arg(long)]
    pub(crate) respawn: bool,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
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

    /// Go on, and show every change
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DisableArgs {
    /// The lock's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Why, for those who find it disabled
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) reason: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EnableArgs {
    /// The lock's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SchemaArgs {
    /// Create it in the store instead, where it is missing
    #[arg(long)]
    pub(crate) apply: bool,
}

/// Reads the command line; help and version are printed here.
///
/// # Errors
/// In one line, where clap would write several.
pub(crate) fn parse() -> Result<Args, Failure> {
    Args::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            Failure::silent(0)
        }
        _ => Failure::usage(in_one_line(&error.render().to_string())),
    })
}

/// What clap says, without the usage that it adds.
fn in_one_line(text: &str) -> String {
    let said = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty());
    let mut line = said.collect::<Vec<_>>().join(" ").replace(" tip:", "; tip:");
    if let Some(rest) = line.strip_prefix("error: ") {
        line = rest.to_owned();
    }
    line + "; see 'leasehold --help'"
}

fn duration(text: &str) -> Result<Duration, String> {
    const FORMS: &str = "write it as 250ms, 15s or 1m30s";
    let parsed: SignedDuration =
        text.trim().parse().map_err(|_| format!("this is no duration; {FORMS}"))?;
    Duration::try_from(parsed).map_err(|_| format!("a duration cannot be negative; {FORMS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn durations() {
        for (text, millis) in
            [("15s", 15_000), ("1m30s", 90_000), ("250ms", 250), ("0s", 0), ("1h", 3_600_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "15", "-1s", "1s ago", "soon", "1 fortnight", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
