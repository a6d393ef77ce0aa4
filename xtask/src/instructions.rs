//! Counts the instructions of the engine's own path on the memory store with callgrind.
//!
//! The counts are the same on a busy machine. They depend on the compiler and the platform, so they
//! are compared only with a budget of the same ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;

use crate::setup;
use crate::workspace::{cargo, root, target};

/// The scenarios of `core/examples/instructions.rs`, each with few and with many rounds. The
/// difference of the two counts is without what starting the program takes.
const SCENARIOS: [(&str, u64, u64); 3] =
    [("lock", 200, 1200), ("hand-over", 100, 500), ("heartbeat", 20, 120)];

/// The budget, relative to the root of the workspace.
const BUDGET: &str = "core/examples/instructions.toml";

/// Counts may exceed the budget by this share. On one machine they are almost the same in each run;
/// another version of the C library, or another processor for which it has other functions, takes a
/// little more or less.
const TOLERANCE: f64 = 0.03;

#[derive(Args)]
pub(crate) struct Options {
    /// Writes the counts as the new budget
    #[arg(long)]
    update: bool,
}

/// The instructions of a round of each scenario, as they were counted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    /// The version of the compiler and the platform that it compiled for.
    compiler: String,
    instructions: BTreeMap<String, u64>,
}

/// Counts the instructions, and compares them with the budget or replaces it.
pub(crate) fn count(options: &Options) -> Result<()> {
    let counted = counted(compiler()?)?;
    if options.update {
        let file = root()?.join(BUDGET);
        return fs::write(file, counted.text()).with_context(|| format!("cannot write {BUDGET}"));
    }
    let budget = budget()?;
    if is_comparable(&budget, &counted.compiler) {
        compare(&budget, &counted)?;
    }
    Ok(())
}

/// Fails if a scenario takes more instructions than the budget allows. Returns `false` and says why
/// if nothing was counted: the budget is of another compiler or platform, or Valgrind is missing and
/// cannot be installed.
pub(crate) fn check() -> Result<bool> {
    let (budget, compiler) = (budget()?, compiler()?);
    if !is_comparable(&budget, &compiler) {
        return Ok(false);
    }
    if let Err(error) = valgrind() {
        eprintln!("instructions are not compared: {error:#}");
        return Ok(false);
    }
    compare(&budget, &counted(compiler)?)?;
    Ok(true)
}

/// Makes sure that there is Valgrind, a part of which is callgrind.
fn valgrind() -> Result<()> {
    setup::program("valgrind", "Valgrind", &["valgrind"])
}

/// Reads the budget.
fn budget() -> Result<Budget> {
    let text = fs::read_to_string(root()?.join(BUDGET)).with_context(|| {
        format!("cannot read {BUDGET}; `cargo xtask instructions --update` writes it")
    })?;
    toml::from_str(&text).context(BUDGET)
}

fn is_comparable(budget: &Budget, compiler: &str) -> bool {
    let same = budget.compiler == compiler;
    if !same {
        let of = &budget.compiler;
        eprintln!("instructions are not compared: the budget is of {of}, and this is {compiler}");
    }
    same
}

/// Counts the instructions of each scenario.
fn counted(compiler: String) -> Result<Budget> {
    valgrind()?;
    let example = ["--package", "leasehold-core", "--example", "instructions"];
    cargo(&[&["build", "--release", "--features", "unstable"], &example[..]].concat(), &[])?;
    let program = target()?.join("release/examples/instructions");
    let mut counted = BTreeMap::new();
    for (scenario, few, many) in SCENARIOS {
        let (few_rounds, many_rounds) =
            (collected(&program, scenario, few)?, collected(&program, scenario, many)?);
        let added = many_rounds.checked_sub(few_rounds).with_context(|| {
            format!("{many} rounds of {scenario} take fewer instructions than {few}")
        })?;
        let of_round = added / (many - few);
        eprintln!("{scenario}: {of_round} instructions");
        counted.insert(scenario.to_owned(), of_round);
    }
    Ok(Budget { compiler, instructions: counted })
}

/// Fails if a scenario takes more instructions than the budget allows.
fn compare(budget: &Budget, counted: &Budget) -> Result<()> {
    let mut exceeded = Vec::new();
    for (scenario, count) in &counted.instructions {
        let Some(allowed) = budget.instructions.get(scenario) else {
            exceeded.push(format!("{scenario} has no budget"));
            continue;
        };
        let more = (*count as f64 / *allowed as f64 - 1.0) * 100.0;
        if more > TOLERANCE * 100.0 {
            exceeded.push(format!(
                "{scenario} takes {count} instructions, {more:.1} % more than its budget of \
                 {allowed}"
            ));
        } else if more < -TOLERANCE * 100.0 {
            eprintln!(
                "{scenario} takes {:.1} % less than its budget: lower it with \
                 `cargo xtask instructions --update`",
                -more
            );
        }
    }
    if !exceeded.is_empty() {
        bail!(
            "{}; if the change is worth that, `cargo xtask instructions --update` writes a new \
             budget",
            exceeded.join(", ")
        );
    }
    Ok(())
}

impl Budget {
    fn text(&self) -> String {
        let line = |(scenario, count): (&String, &u64)| format!("{scenario} = {count}\n");
        let lines: String = self.instructions.iter().map(line).collect();
        format!(
            "# `cargo xtask instructions --update` writes this.\n\
             compiler = \"{}\"\n\n[instructions]\n{lines}",
            self.compiler,
        )
    }
}

/// Returns how many instructions callgrind counts in a run of that many rounds.
fn collected(program: &Path, scenario: &str, rounds: u64) -> Result<u64> {
    // The environment's size moves the stack, on which the work of some functions depends.
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--vgdb=no"])
        .arg(program)
        .args([scenario, &rounds.to_string()])
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .output()
        .context("cannot run valgrind")?;
    let printed = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{scenario} failed under valgrind ({}):\n{printed}", output.status);
    }
    let count = printed.lines().find_map(|line| line.split_once("Collected :"));
    let count = count.and_then(|(_, count)| count.trim().parse().ok());
    count.with_context(|| format!("callgrind printed no count:\n{printed}"))
}

/// Returns the version of the compiler, and the platform that it compiles for.
fn compiler() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").current_dir(root()?).output();
    let printed = String::from_utf8(output.context("cannot run rustc")?.stdout)?;
    let host = printed.lines().find_map(|line| line.strip_prefix("host: "));
    let (version, host) = printed.lines().next().zip(host).context("rustc printed no version")?;
    Ok(format!("{version} for {host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(compiler: &str, count: u64) -> Budget {
        let instructions = BTreeMap::from([("lock".to_owned(), count)]);
        Budget { compiler: compiler.to_owned(), instructions }
    }

    #[test]
    fn a_budget_is_read_as_it_was_written() {
        let read: Budget = toml::from_str(&budget("rustc 1", 1000).text()).unwrap();
        assert_eq!(read.compiler, "rustc 1");
        assert_eq!(read.instructions["lock"], 1000);
    }

    #[test]
    fn more_instructions_than_the_budget_allows_are_refused() {
        assert!(compare(&budget("a", 1000), &budget("a", 1029)).is_ok());
        assert!(compare(&budget("a", 1000), &budget("a", 500)).is_ok());
        let error = compare(&budget("a", 1000), &budget("a", 1031)).unwrap_err().to_string();
        assert!(error.contains("lock takes 1031 instructions, 3.1 % more"), "{error}");
        assert!(error.contains("--update"), "{error}");
    }

    #[test]
    fn a_scenario_without_a_budget_is_refused() {
        let none = Budget { compiler: "a".to_owned(), instructions: BTreeMap::new() };
        let error = compare(&none, &budget("a", 1000)).unwrap_err().to_string();
        assert!(error.contains("lock has no budget"), "{error}");
    }

    #[test]
    fn a_budget_of_another_compiler_is_not_compared() {
        assert!(is_comparable(&budget("rustc 1 for a", 1000), "rustc 1 for a"));
        assert!(!is_comparable(&budget("rustc 1 for a", 1000), "rustc 1 for b"));
    }
}
