//! Runs every test.

use std::fs;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::workspace::{cargo, root};
use crate::{docker, fuzz, images, monitoring, schemathesis, setup};

/// Each target is fuzzed for this long, which finds faults that are easy to find.
const FUZZ_SECONDS: u32 = 5;

const TESTS: [&str; 3] = ["test", "--workspace", "--all-features"];

/// The options of `cargo xtask test`.
#[derive(Args)]
pub(crate) struct Options {
    /// Leaves a server out: postgres, mysql, mariadb, redis, valkey, mongodb or etcd
    #[arg(long, value_name = "SERVER", value_delimiter = ',')]
    skip: Vec<String>,
}

impl Options {
    /// Skips those servers.
    pub(crate) fn skipping(skip: Vec<String>) -> Self {
        Self { skip }
    }
}

/// Sets up everything that the tests need and runs all of them, including the examples in the
/// documentation.
pub(crate) fn test(options: &Options) -> Result<()> {
    let skip = build(options)?;
    setup::browser()?;
    let counts = Counts::new()?;
    // If every server is skipped, no Docker Engine is needed.
    let docker = if options.skip.len() < images::SERVERS.len() { "required" } else { "" };
    let environment = [
        skip,
        ("LEASEHOLD_TEST_BROWSER", "required".into()),
        ("LEASEHOLD_TEST_DOCKER", docker.into()),
        ("LEASEHOLD_TEST_COUNTS", counts.0.clone()),
    ];
    let tested = cargo(&[&TESTS[..], &["--no-fail-fast"]].concat(), &environment)
        // Without features, the message about a URL must name the feature to add.
        .and_then(|()| cargo(&["test", "--package", "leasehold", "--no-default-features"], &[]));
    eprintln!("\n{}", counts.read()?);
    for name in &options.skip {
        eprintln!("{name}: skipped by --skip");
    }
    tested?;
    schemathesis::check()?;
    monitoring::check()?;
    fuzz::all(FUZZ_SECONDS)?;
    eprintln!("all tests passed");
    Ok(())
}

/// Builds the tests while the servers are set up, which is mostly a wait for downloads.
fn build(options: &Options) -> Result<(&'static str, PathBuf)> {
    setup::c_compiler()?;
    thread::scope(|scope| {
        let servers = scope.spawn(|| set_up(options));
        let tests = cargo(&[&TESTS[..], &["--no-run"]].concat(), &[]);
        let Ok(skip) = servers.join() else { bail!("setting up the servers panicked") };
        tests.and(skip)
    })
}

/// Installs, starts and builds what the tests need. Returns the variable that tells the tests which
/// servers to skip.
pub(crate) fn set_up(options: &Options) -> Result<(&'static str, PathBuf)> {
    let known: Vec<_> = images::SERVERS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = options.skip.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("unknown server \"{unknown}\" in --skip; the servers are {}", known.join(", "));
    }
    setup::c_compiler()?;
    let skipped = |server: &str| options.skip.iter().any(|name| name == server);
    let needed: Vec<_> = known.into_iter().filter(|server| !skipped(server)).collect();
    if !needed.is_empty() {
        docker::ensure()?;
        docker::remove_leftovers()?;
        images::ensure(&needed)?;
        images::ensure_base()?;
    }
    Ok(("LEASEHOLD_TEST_SKIP", options.skip.join(",").into()))
}

/// A file to which test programs append a line per backend.
struct Counts(PathBuf);

impl Counts {
    fn new() -> Result<Self> {
        let file = root()?.join("target/test-counts");
        fs::create_dir_all(root()?.join("target"))?;
        fs::write(&file, "").with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self(file))
    }

    fn read(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.0)?)
    }
}
