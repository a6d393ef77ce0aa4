//! Settings are loaded from options, the environment, files and defaults.

pub(crate) mod configuration;
pub(crate) mod keys;
pub(crate) mod run_kind;

use leasehold::configuration::Loader;

use crate::args::{Args, Command};
use crate::io::exit::Failure;
use crate::options::{AccessSettings, Given, RunSettings, ServeSettings};
use configuration::CliConfiguration;

/// Reads all settings, and checks them.
pub(crate) fn load(args: &Args) -> Result<CliConfiguration, Failure> {
    let mut loader = Loader::new().keys(keys::OWN);
    if let Some(file) = &args.common.config {
        loader = loader.file_shown_as("--config", file);
    }
    let (run, access, serve) = match &args.command {
        Command::Run(args) => (Some(&args.settings), Some(&args.access), None),
        Command::Serve(args) => (None, Some(&args.access), Some(&args.settings)),
        Command::Config(args) => (Some(&args.run), Some(&args.access), Some(&args.serve)),
        _ => (None, None, None),
    };
    if let Some(needed) = needed(&args.command) {
        loader = loader.needs(needed);
    }
    let run = run.into_iter().flat_map(RunSettings::options);
    let access = access.into_iter().flat_map(AccessSettings::options);
    let serve = serve.into_iter().flat_map(ServeSettings::options);
    let common = args.common.options().into_iter();
    for (name, shown, value) in common.chain(run).chain(access).chain(serve) {
        if let Some(value) = value {
            loader = loader.option_shown_as(name, shown, value.as_str());
        }
    }
    Ok(CliConfiguration::new(loader.load()?))
}

/// Returns the settings that a command uses, or `None` for all. An error in any other setting then
/// prevents neither `status` nor an operator's `disable`.
fn needed(command: &Command) -> Option<Vec<&'static str>> {
    const COMMON: [&str; 5] = ["store", "namespace", "store_connections", "log", "log_format"];
    let access = AccessSettings::default();
    let names = |given: &[Given<'_>]| given.iter().map(|(name, ..)| *name).collect::<Vec<_>>();
    let more = match command {
        Command::Config(_) => return None,
        Command::Run(_) => {
            [names(&RunSettings::default().options()), names(&access.options())].concat()
        }
        Command::Serve(_) => {
            [names(&ServeSettings::default().options()), names(&access.options())].concat()
        }
        _ => Vec::new(),
    };
    Some([COMMON.to_vec(), more].concat())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// `config` takes every setting, and each is one of `run` or of `serve`.
    #[test]
    fn every_setting_has_an_option() {
        let mut command = Args::command();
        command.build();
        let options = |name: &str| -> Vec<_> {
            let command = command.find_subcommand(name).unwrap();
            let longs = command.get_arguments().filter_map(|argument| argument.get_long());
            longs.map(|long| format!("--{long}")).collect()
        };
        let (config, run, serve) = (options("config"), options("run"), options("serve"));
        for flag in keys::all().map(|key| keys::flag(key.name)) {
            assert!(config.contains(&flag), "config has no {flag}");
            assert!(run.contains(&flag) || serve.contains(&flag), "no command has {flag}");
        }
    }
}
