//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures Leasehold beside the bare drivers and other libraries.
#[derive(Debug, Parser)]
#[command(name = "leasehold-bench")]
pub(crate) struct Options {
    /// Measures these backends only: sqlite, postgres, mysql, mariadb, redis, valkey, mongodb, etcd
    #[arg(value_name = "BACKEND")]
    pub(crate) backends: Vec<String>,
    /// Measures each contender in this many slices
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) slices: u32,
    /// Makes these measurements only
    #[arg(long = "measure", value_name = "MEASUREMENT", value_delimiter = ',')]
    pub(crate) measurements: Vec<Measurement>,
    /// Also measures how soon another command runs after a crash of this program of `leasehold`
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) command_line: Option<PathBuf>,
    /// Writes the results into this folder
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    pub(crate) output: PathBuf,
}

/// A group of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measurement {
    /// Acquire and release, of one name and of 64
    Uncontended,
    /// The calls that an uncontended lock makes
    Calls,
    /// The time from a release to the next grant
    HandOver,
    /// A fair lock beside the plain one: acquire and release, and hand-overs
    FairLock,
    /// How evenly grants fall
    Evenness,
    /// The heartbeat of 1 to 100,000 leases
    Heartbeat,
    /// The time from a crash to the next start
    Crash,
    /// What idle leaders and candidates cost
    Idle,
    /// The first lock of a process
    ColdStart,
    /// A check of the fence, on SQL databases
    Fence,
}

impl Measurement {
    /// Returns the name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Options {
    /// Returns whether that measurement is to be made.
    pub(crate) fn includes(&self, measurement: Measurement) -> bool {
        self.measurements.is_empty() || self.measurements.contains(&measurement)
    }
}
