//! Runs the measurements of `bench/`, optimized.

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::workspace::{cargo, target};
use crate::{images, test};

/// This backend needs no server.
const SQLITE: &str = "sqlite";

#[derive(Args)]
pub(crate) struct Options {
    /// Measures these backends only: sqlite, postgres, mysql, mariadb, redis, valkey, mongodb, etcd
    #[arg(value_name = "BACKEND")]
    backends: Vec<String>,
    /// Measures each contender in this many slices (20 by default)
    #[arg(long)]
    slices: Option<u32>,
    /// Makes these measurements only; `--measure help` lists them
    #[arg(long, value_name = "MEASUREMENT", value_delimiter = ',')]
    measure: Vec<String>,
}

/// Libraries to compare with are built with this flag only, since they need other drivers.
const FLAGS: &str = "--cfg bench_peers";

/// Starts the chosen servers and measures them.
pub(crate) fn bench(options: &Options) -> Result<()> {
    let servers = images::SERVERS.map(|(name, _)| name);
    let is_known = |name: &str| name == SQLITE || servers.contains(&name);
    if let Some(unknown) = options.backends.iter().find(|name| !is_known(name)) {
        let known = servers.join(", ");
        bail!("unknown backend \"{unknown}\"; the backends are {SQLITE}, {known}");
    }
    let chosen = |server: &str| {
        options.backends.is_empty() || options.backends.iter().any(|name| name == server)
    };
    let skipped = servers.into_iter().filter(|server| !chosen(server)).map(str::to_owned);
    let skip = test::set_up(&test::Options::skipping(skipped.collect()))?;
    let measures_crashes =
        options.measure.is_empty() || options.measure.iter().any(|name| name == "crash");
    let program = target()?.join("release/leasehold");
    let program = program.to_str().context("the path of the target folder is not UTF-8")?;
    if measures_crashes {
        cargo(&["build", "--release", "--package", "leasehold-cli", "--all-features"], &[])?;
    }
    let mut arguments = vec!["run", "--release", "--package", "leasehold-bench", "--"];
    arguments.extend(options.backends.iter().map(String::as_str));
    let slices = options.slices.map(|slices| slices.to_string());
    if let Some(slices) = &slices {
        arguments.extend(["--slices", slices]);
    }
    let measure = options.measure.join(",");
    if !measure.is_empty() {
        arguments.extend(["--measure", &measure]);
    }
    if measures_crashes {
        arguments.extend(["--command-line", program]);
    }
    // With other flags everything is built again, so it is kept apart from other builds.
    let build = target()?.join("bench/build");
    cargo(&arguments, &[skip, ("RUSTFLAGS", FLAGS.into()), ("CARGO_TARGET_DIR", build)])
}
