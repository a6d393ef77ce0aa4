//! `leasehold run`: a command that runs for as long as the lock is held, and no longer.
//!
//! Four kinds of processes take part:
//!
//! * the *supervisor* campaigns, and starts the others when it leads ([`supervisor`], [`job`]);
//! * the *command's group*: the command and what it starts ([`term`], [`group`]);
//! * the *starter*, which becomes the command: it waits for the word to go, so that a supervisor
//!   that is killed at the wrong moment leaves nothing behind ([`child`], [`starter`]);
//! * the *guard*, which knows until when the lease lasts, and ends the group then ([`guard`]).

mod child;
mod command;
mod exporter;
mod group;
mod guard;
mod interpreter;
mod job;
mod opening;
mod orphans;
mod own_group;
mod signal_mask;
mod signals;
mod starter;
mod supervisor;
mod term;
mod terminal;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use leasehold::configuration::{Configuration, Origin};
use leasehold::{Capabilities, Client, LockStore, MemoryStore, Settings};

use crate::args::RunArgs;
use crate::exit::Failure;
use crate::http;
use crate::store::StoreChoice;
use command::CommandLine;
use job::{CommandJob, Plan};
use opening::Opened;
use signals::Signals;
use supervisor::{Manner, Supervisor};

pub(crate) async fn run(
    store: &StoreChoice,
    configuration: &Configuration,
    args: RunArgs,
) -> Result<u8, Failure> {
    signal_mask::block_terminal_stops();
    orphans::reap_in_background()?;
    let mut signals = Signals::new()?;
    // All that can be known to be wrong is refused before a store is opened, and perhaps created.
    let name = configuration.required_lock_name()?.clone();
    with_engine_grace(&configuration.settings, &MemoryStore::new().capabilities())?;
    let command = CommandLine::new(args.command)?;

    exporter::start(configuration).await?;
    let opened = opening::open(store, configuration.wait, &mut signals).await?;
    let Opened { store, wait } = opened;
    let (settings, grace, engine_grace) =
        with_engine_grace(&configuration.settings, &store.capabilities())?;
    let mut builder = Client::builder(store).settings(settings).hints(configuration.hints);
    if let Some(label) = &configuration.label {
        builder = builder.label(label);
    }
    let client = builder.build()?;
    let kept = kept_variables(configuration);
    let plan = Plan { name: name.clone(), command, kept, grace, engine_grace };
    let (job, events, inbox) = CommandJob::new(Arc::new(plan));
    let election = client.election(&name)?.spawn(job);
    let manner = Manner {
        wait,
        respawn: configuration.respawn,
        quiet: args.quiet,
        conflict: args.conflict_exit_code,
    };
    Supervisor::new(name, election, events, inbox, signals, manner).run().await
}

/// The variables that were meant for this process, since it has used them: the lock, which a command
/// that uses Leasehold itself is not to wait for, the address of its metrics, and their secret.
fn kept_variables(configuration: &Configuration) -> Vec<String> {
    let from_variable = |key: &&str| match configuration.origin(key) {
        Some(Origin::Variable(name)) => Some(name.clone()),
        _ => None,
    };
    let mut kept: Vec<_> = ["lock_name", "metrics"].iter().filter_map(from_variable).collect();
    if configuration.metrics.is_some() {
        kept.push(http::TOKEN.to_owned());
    }
    kept
}

/// The settings with which the engine gives the job a little longer than the command has, to see
/// it dead; and both times.
fn with_engine_grace(
    settings: &Settings,
    capabilities: &Capabilities,
) -> Result<(Settings, Duration, Duration), Failure> {
    let timing = settings.resolve(capabilities)?;
    let engine_grace = timing.stop_grace.max(job::least_engine_grace(timing.ttl));
    let settings = settings.clone().stop_grace(engine_grace);
    settings.resolve(capabilities)?;
    Ok((settings, timing.stop_grace, engine_grace))
}

/// Runs one of the processes that a supervisor starts, if the arguments ask for it.
pub(crate) fn hidden_command(mut args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    match args.nth(1)?.to_str()? {
        starter::COMMAND => Some(starter::main(args)),
        guard::COMMAND => Some(guard::main(args)),
        _ => None,
    }
}
