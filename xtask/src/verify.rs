//! Checks format, spelling, prose, imports, packages, workflows, dependencies, lints, documentation
//! and instruction counts.

use std::process::Command;

use anyhow::Result;

use crate::workspace::{cargo, root, run};
use crate::{deny, import_loops, instructions, package, prose, releases, setup, tools, workflows};

const TYPOS: &str = "1.52.0";

/// Each set of features that users build with is linted: all, none, and those of `cargo leasehold`.
const CLIPPY: [&[&str]; 3] = [
    &["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"],
    &["clippy", "--package", "leasehold", "--all-targets", "--", "-D", "warnings"],
    &[
        "clippy",
        "--package",
        "leasehold-cli",
        "--no-default-features",
        "--features",
        "sqlite",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ],
];

const DOC: &[&str] = &["doc", "--workspace", "--all-features", "--no-deps"];

/// The targets of the fuzzer are a separate workspace.
const FUZZ_FMT: [&str; 3] = ["fmt", "--manifest-path", "fuzz/Cargo.toml"];

/// Runs all checks, and changes nothing.
pub(crate) fn verify() -> Result<()> {
    setup::c_compiler()?;
    cargo(&["fmt", "--all", "--check"], &[])?;
    cargo(&[&FUZZ_FMT[..], &["--check"]].concat(), &[])?;
    spelling(&["--format", "brief"])?;
    prose::check(&root()?)?;
    import_loops::check(&root()?)?;
    package::check()?;
    workflows::check()?;
    deny::check()?;
    for lint in CLIPPY {
        cargo(lint, &[])?;
    }
    cargo(DOC, &[("RUSTDOCFLAGS", "-D warnings".into())])?;
    releases::check()?;
    let counts = if instructions::check()? { ", instruction counts" } else { "" };
    eprintln!(
        "\nverified: format, spelling, prose, imports, packages, workflows, dependencies, lints, \
         documentation{counts}"
    );
    Ok(())
}

/// Fixes the problems that tools can fix.
pub(crate) fn fix() -> Result<()> {
    let fix = ["clippy", "--workspace", "--all-targets", "--all-features", "--fix"];
    cargo(&[&fix[..], &["--allow-dirty", "--allow-staged"]].concat(), &[])?;
    cargo(&["fmt", "--all"], &[])?;
    cargo(&FUZZ_FMT, &[])?;
    spelling(&["--write-changes"])
}

/// Runs `typos`, with the exceptions that `typos.toml` lists.
fn spelling(arguments: &[&str]) -> Result<()> {
    let typos = tools::install("typos", "typos", TYPOS)?;
    eprintln!("\n$ typos {}", arguments.join(" "));
    run(Command::new(typos).args(arguments))
}
