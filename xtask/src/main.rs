//! All automation of this repository: `cargo xtask …`.

mod api;
mod deny;
mod docker;
mod evidence;
mod fuzz;
mod images;
mod import_loops;
mod monitoring;
mod package;
mod prose;
mod releases;
mod setup;
mod test;
mod tools;
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
    /// Checks format, spelling, prose, imports, packages, workflows, dependencies, lints and
    /// documentation; changes nothing.
    Verify,
    /// Fixes what `verify` reports, as far as tools can.
    Fix,
    /// Sets up what the tests need, and runs every test.
    Test(test::Options),
    /// Checks the HTTP API against its own description.
    Api,
    /// Throws arbitrary input at what reads URLs, names, settings and records.
    Fuzz(fuzz::Options),
    /// Checks the example alert rules with Prometheus's promtool.
    Monitoring,
    /// Runs the tests of each published crate from its package.
    Package,
    /// Searches the model: give CANDIDATES LOCKERS FAULTS COMMANDS, and STEPS (0 for all) and
    /// MUTATION if wanted
    Model(evidence::Given),
    /// Runs seeds of the simulation: give --seeds N --jobs J, or --seed S --trace
    Sim(evidence::Given),
    /// Churns locks and elections and watches what they use: give --minutes M, and --store URL if wanted
    Soak(evidence::Given),
    /// Measures what a lock costs on each server, and how promptly it is handed over.
    Cost(test::Options),
    /// Builds the images of the servers from Debian's packages, for where none can be pulled.
    Images {
        /// Only these: postgres, mysql, mariadb, redis, valkey, mongodb, etcd
        servers: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Verify => verify::verify(),
        Task::Fix => verify::fix(),
        Task::Test(options) => test::test(&options),
        Task::Api => api::api(),
        Task::Fuzz(options) => fuzz::fuzz(&options),
        Task::Monitoring => monitoring::check(),
        Task::Package => package::test(),
        Task::Model(given) => evidence::run("model", &given),
        Task::Sim(given) => evidence::run("sim", &given),
        Task::Soak(given) => evidence::run("soak", &given),
        Task::Cost(options) => test::cost(&options),
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
        bail!("there is no server \"{unknown}\"; there are {}", known.join(", "));
    }
    docker::ensure()?;
    let chosen = |name: &&str| servers.is_empty() || servers.iter().any(|server| server == name);
    images::build(&known.into_iter().filter(chosen).collect::<Vec<_>>())
}
