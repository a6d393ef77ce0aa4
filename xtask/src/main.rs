//! All automation of this repository: `cargo xtask …`.

mod bench;
mod deny;
mod docker;
mod fuzz;
mod images;
mod import_loops;
mod instructions;
mod monitoring;
mod package;
mod prose;
mod releases;
mod schemathesis;
mod setup;
mod test;
mod tools;
mod verification;
mod verify;
mod workflows;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "All automation of this repository")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Checks format, spelling, prose, imports, packages, workflows, dependencies, lints,
    /// documentation and instruction counts; changes nothing.
    Verify,
    /// Fixes the problems that `verify` reports and tools can fix.
    Fix,
    /// Sets up what the tests need, and runs every test.
    Test(test::Options),
    /// Checks the HTTP API against its own description.
    Api,
    /// Fuzzes the code that reads URLs, names, settings and records.
    Fuzz(fuzz::Options),
    /// Checks the example alert rules with Prometheus's promtool.
    Monitoring,
    /// Runs the tests of each published crate from its package.
    Package,
    /// Searches the model: give CANDIDATES LOCKERS FAULTS COMMANDS, and optionally STEPS (0 for
    /// all) and MUTATION
    Model(verification::Arguments),
    /// Searches the model of queues: give KIND (such as `semaphore:2`), WEIGHTS (such as 1,2,1),
    /// FAULTS and COMMANDS, and optionally STEPS (0 for all) and MUTATION
    QueueModel(verification::Arguments),
    /// Runs seeds of the simulation: give --seeds N --jobs J, or --seed S --trace
    Sim(verification::Arguments),
    /// Runs many locks and elections and measures their resources: give --minutes M, and optionally
    /// --store URL
    Soak(verification::Arguments),
    /// Measures Leasehold beside the bare drivers and other libraries on each server
    Bench(bench::Options),
    /// Counts the instructions of the engine's own path, and compares them with their budget
    Instructions(instructions::Options),
    /// Builds the images of the servers from Debian's packages, if they cannot be pulled.
    Images {
        /// Builds only these: postgres, mysql, mariadb, redis, valkey, mongodb, etcd
        servers: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Verify => verify::verify(),
        Task::Fix => verify::fix(),
        Task::Test(options) => test::test(&options),
        Task::Api => schemathesis::build_and_check(),
        Task::Fuzz(options) => fuzz::fuzz(&options),
        Task::Monitoring => monitoring::check(),
        Task::Package => package::test(),
        Task::Model(arguments) => verification::run("model", &arguments),
        Task::QueueModel(arguments) => verification::run("queue_model", &arguments),
        Task::Sim(arguments) => verification::run("sim", &arguments),
        Task::Soak(arguments) => verification::run("soak", &arguments),
        Task::Bench(options) => bench::bench(&options),
        Task::Instructions(options) => instructions::count(&options),
        Task::Images { servers } => images(&servers),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn images(servers: &[String]) -> Result<()> {
    let known = images::SERVERS.map(|(name, _)| name);
    if let Some(unknown) = servers.iter().find(|server| !known.contains(&server.as_str())) {
        bail!("unknown server \"{unknown}\"; the servers are {}", known.join(", "));
    }
    docker::ensure()?;
    let chosen = |name: &&str| servers.is_empty() || servers.iter().any(|server| server == name);
    images::build(&known.into_iter().filter(chosen).collect::<Vec<_>>())
}
