//! The settings on the command line, and those from elsewhere: option, environment, file, default.

use std::path::PathBuf;

use leasehold::configuration::{Configuration, Loader};

use crate::args::{Args, Command};
use crate::exit::Failure;

/// The options of every command that are settings.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct CommonArgs {
    /// The store's URL, such as sqlite:PATH [default: a file in the user's state folder]
    #[arg(long, global = true, value_name = "URL")]
    store: Option<String>,

    /// The namespace of the locks in the store, where applications share one [default: leasehold]
    #[arg(long, global = true, value_name = "NS")]
    namespace: Option<String>,

    /// The configuration file [default: ./leasehold.toml, else the user's or the system's]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    /// What is logged on standard error: info, debug, or a filter by module [default: warnings]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,

    /// How standard error is written, text or json [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// The options of `run` that are settings.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct RunSettings {
    /// The lock's name
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    lock: Option<String>,

    /// How long the lease lasts without a heartbeat: after a crash, another takes over that much
    /// later [default: 15s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    ttl: Option<String>,

    /// How long to wait for the lock [default: as long as it takes]; 0s tries once
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    wait: Option<String>,

    /// How long the command has from SIGTERM to SIGKILL [default: 5s, or a third of the ttl if
    /// that is less]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    stop_grace: Option<String>,

    /// When the lock is lost or disabled, campaign again and run the command anew, instead of
    /// exiting with 76
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true")]
    respawn: Option<String>,

    /// What this instance is called where its locks are shown
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, help_heading = "Fine tuning")]
    label: Option<String>,

    /// How much earlier than the store this process stops trusting its lease [default: ttl / 20]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = "Fine tuning")]
    margin: Option<String>,

    /// For how long heartbeats may fail before the command is stopped [default: what the ttl leaves]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = "Fine tuning")]
    tolerance: Option<String>,

    /// How often the lease is renewed [default: a fifth of the ttl, or less]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = "Fine tuning")]
    heartbeat_interval: Option<String>,

    /// How often a failed heartbeat is retried before the command is stopped [default: 3]
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true, help_heading = "Fine tuning")]
    heartbeat_retries: Option<String>,

    /// How often to look at the lock while waiting, when no hint tells to [default: ttl / 3]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = "Fine tuning")]
    poll_interval: Option<String>,

    /// How long to wait before the first attempt [default: 0s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = "Fine tuning")]
    start_delay: Option<String>,
}

impl CommonArgs {
    fn options(&self) -> [(&'static str, &'static str, Option<&String>); 4] {
        [
            ("store", "--store", self.store.as_ref()),
            ("namespace", "--namespace", self.namespace.as_ref()),
            ("log", "--log", self.log.as_ref()),
            ("log_format", "--log-format", self.log_format.as_ref()),
        ]
    }
}

impl RunSettings {
    fn options(&self) -> [(&'static str, &'static str, Option<&String>); 12] {
        [
            ("lock_name", "--lock", self.lock.as_ref()),
            ("ttl", "--ttl", self.ttl.as_ref()),
            ("wait", "--wait", self.wait.as_ref()),
            ("stop_grace", "--stop-grace", self.stop_grace.as_ref()),
            ("respawn", "--respawn", self.respawn.as_ref()),
            ("label", "--label", self.label.as_ref()),
            ("margin", "--margin", self.margin.as_ref()),
            ("tolerance", "--tolerance", self.tolerance.as_ref()),
            ("heartbeat_interval", "--heartbeat-interval", self.heartbeat_interval.as_ref()),
            ("heartbeat_retries", "--heartbeat-retries", self.heartbeat_retries.as_ref()),
            ("poll_interval", "--poll-interval", self.poll_interval.as_ref()),
            ("start_delay", "--start-delay", self.start_delay.as_ref()),
        ]
    }
}

/// Reads all settings, and checks them.
pub(crate) fn load(args: &Args) -> Result<Configuration, Failure> {
    let mut loader = Loader::new();
    if let Some(file) = &args.common.config {
        loader = loader.file_shown_as("--config", file);
    }
    let of_command = match &args.command {
        Command::Run(args) => Some(&args.settings),
        Command::Config(args) => Some(&args.settings),
        _ => None,
    };
    let of_command = of_command.into_iter().flat_map(RunSettings::options);
    for (name, shown, value) in args.common.options().into_iter().chain(of_command) {
        if let Some(value) = value {
            loader = loader.option_shown_as(name, shown, value.as_str());
        }
    }
    Ok(loader.load()?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use leasehold::configuration::KEYS;

    use super::*;

    /// `config` takes what `run` takes; both take every setting.
    #[test]
    fn every_setting_is_an_option() {
        let mut command = Args::command();
        command.build();
        for name in ["run", "config"] {
            let options: Vec<_> = command
                .find_subcommand(name)
                .unwrap()
                .get_arguments()
                .filter_map(|argument| argument.get_long().map(|long| format!("--{long}")))
                .collect();
            for key in KEYS {
                assert!(options.contains(&key.flag()), "{name} has no {}", key.flag());
            }
        }
    }
}
