//! `leasehold run` runs a command for as long as the lock is held, and no longer.
//!
//! There are four kinds of processes:
//!
//! * the *supervisor* campaigns, and starts the others when it leads ([`supervisor`], [`job`]);
//! * the *command's group*: the command and what it starts ([`running_command`],
//!   [`process_group`]);
//! * the *exec shim*, which becomes the command: it waits for the start message, so that a
//!   supervisor that is killed at the wrong moment leaves no process running ([`child`],
//!   [`exec_shim`]);
//! * the *watchdog*, which knows when the lease ends, and ends the group then ([`watchdog`]). If the
//!   supervisor was killed, it also releases the lease.

mod child;
mod command_line;
mod environment;
mod exec_shim;
#[cfg(feature = "http")]
mod exporter;
mod fence;
mod interpreter;
mod job;
mod obstacle;
mod open_store;
mod own_group;
mod plan;
mod process_group;
#[cfg(target_os = "linux")]
mod processes;
mod reaper;
mod running_command;
mod signal_mask;
mod signals;
mod supervisor;
mod terminal;
mod this_program;
mod watchdog;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use leasehold::configuration::Origin;
use leasehold::{Capabilities, Client, LockStore, MemoryStore, Reach, Settings};

use crate::args::RunArgs;
#[cfg(not(feature = "http"))]
use crate::cmd::without_http as exporter;
use crate::io::exit::Failure;
use crate::settings::configuration::CliConfiguration;
use crate::settings::run_kind::{self, RunKind};
use crate::store_choice::StoreChoice;
use command_line::CommandLine;
use job::CommandJob;
use open_store::Opened;
use plan::Plan;
use signals::Signals;
use supervisor::{RunOptions, Supervisor};

pub(crate) async fn run(
    choice: &StoreChoice,
    configuration: &CliConfiguration,
    args: RunArgs,
) -> Result<u8, Failure> {
    signal_mask::block_terminal_stops();
    reaper::reap_in_background()?;
    let mut signals = Signals::new()?;
    // Every error that can be detected is reported before the store is opened, which may create it.
    let name = configuration.library.required_lock_name()?.clone();
    with_engine_grace(&configuration.library.settings, &MemoryStore::new().capabilities())?;
    let command = CommandLine::new(args.command)?;
    let RunKind { kind, weight } = RunKind::new(&configuration.library)?;
    let fence = fence::open(configuration).await?;

    exporter::start(configuration).await?;
    let opened = open_store::open(choice, configuration.wait, &mut signals).await?;
    let Opened { store, wait } = opened;
    let (settings, grace, engine_grace) =
        with_engine_grace(&configuration.library.settings, &store.capabilities())?;
    // Another process cannot open a store in this process's memory.
    let address = (store.capabilities().reach != Reach::Process).then(|| choice.address());
    let mut builder = Client::builder(store).settings(settings).hints(configuration.library.hints);
    if let Some(label) = &configuration.library.label {
        builder = builder.label(label);
    }
    let client = builder.build()?;
    let removed_variables = variables_to_remove(configuration);
    let plan = Plan {
        name: name.clone(),
        command,
        in_queue: kind.has_queue(),
        store: address,
        removed_variables,
        grace,
        engine_grace,
    };
    let (job, events, forwarder) = CommandJob::new(Arc::new(plan));
    let mut election = client.election(&name)?.with_kind(kind, weight)?;
    if configuration.wait == Some(Duration::ZERO) && !configuration.respawn {
        // An entry that waits would hold up others until it has left.
        election = election.without_waiting();
    }
    if let Some(fence) = fence {
        election = election.fence(fence, configuration.fence_limit);
    }
    let election = election.spawn(job);
    let options = RunOptions {
        wait,
        respawn: configuration.respawn,
        quiet: args.quiet,
        conflict_status: args.conflict_exit_code,
    };
    Supervisor::new(name, election, events, forwarder, signals, options).run().await
}

/// Returns the variables that this process has used and the command must not inherit.
///
/// These are the lock's name, for which a command that uses Leasehold itself must not wait, and its
/// kind; the fence, which a nested run must not raise for another lock; the address of the metrics,
/// and their token.
fn variables_to_remove(configuration: &CliConfiguration) -> Vec<String> {
    let from_variable = |key: &str| match configuration.origin(key) {
        Some(Origin::Variable(name)) => Some(name.clone()),
        _ => None,
    };
    let settings = ["lock_name", "fence", "metrics"].into_iter().chain(run_kind::SETTINGS);
    let mut names: Vec<_> = settings.filter_map(from_variable).collect();
    names.extend(exporter::secret_variable(configuration));
    names
}

/// Returns settings with which the engine gives the job a little more time than the command has, so
/// that the job can notice the command's end; and both times.
fn with_engine_grace(
    settings: &Settings,
    capabilities: &Capabilities,
) -> Result<(Settings, Duration, Duration), Failure> {
    let timing = settings.resolve(capabilities)?;
    let engine_grace = timing.stop_grace.max(plan::min_engine_grace(timing.ttl));
    let settings = settings.clone().stop_grace(engine_grace);
    settings.resolve(capabilities)?;
    Ok((settings, timing.stop_grace, engine_grace))
}

/// Runs one of the processes that a supervisor starts, if the arguments name it.
pub(crate) fn hidden_command(mut args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    match args.nth(1)?.to_str()? {
        exec_shim::COMMAND => Some(exec_shim::main(args)),
        watchdog::COMMAND => Some(watchdog::main(args)),
        _ => None,
    }
}
