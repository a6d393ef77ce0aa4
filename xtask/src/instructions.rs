//! Counts the instructions of the engine's own path on the memory store with callgrind.
//!
//! The counts are the same on a busy machine. They depend on the compiler, so they are compared
//! with those of the same compiler only.

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

/// Counts may exceed the budget by this share: hash maps, for example, are seeded at random.
const TOLERANCE: f64 = 0.05;

#[derive(Args)]
pub(crate) struct Options {
    /// Writes the counts as the new budget
    #[arg(long)]
    update: bool,
}

/// The instructions of a round of each scenario, as they were counted.
#[derive(Deserialize)]
struct Budget {
    compiler: String,
    instructions: BTreeMap<String, u64>,
}

/// Counts the instructions, and compares them with the budget or replaces it.
pub(crate) fn count(options: &Options) -> Result<()> {
    setup::program("valgrind", "Valgrind", &["valgrind"])?;
    cargo(
        &["build", "--release", "--package", "leasehold-core", "--example", "instructions"],
        &[],
    )?;
    let program = target()?.join("release/examples/instructions");
    let mut counted = BTreeMap::new();
    for (scenario, few, many) in SCENARIOS {
        let added = collected(&program, scenario, many)? - collected(&program, scenario, few)?;
        let of_round = added / (many - few);
        eprintln!("{scenario}: {of_round} instructions");
        counted.insert(scenario.to_owned(), of_round);
    }
    let counted = Budget { compiler: compiler()?, instructions: counted };
    let file = root()?.join(BUDGET);
    if options.update {
        return fs::write(file, counted.text()).with_context(|| format!("cannot write {BUDGET}"));
    }
    let budget = fs::read_to_string(file).with_context(|| {
        format!("cannot read {BUDGET}; `cargo xtask instructions --update` writes it")
    })?;
    compare(&toml::from_str(&budget).context(BUDGET)?, &counted)
}

/// Fails if a scenario takes more instructions than the budget allows.
fn compare(budget: &Budget, counted: &Budget) -> Result<()> {
    if budget.compiler != counted.compiler {
        eprintln!("the budget is of another compiler ({}) and is not compared", budget.compiler);
        return Ok(());
    }
    let mut exceeded = Vec::new();
    for (scenario, count) in &counted.instructions {
        let allowed = budget.instructions.get(scenario).copied().unwrap_or_default();
        if *count as f64 > allowed as f64 * (1.0 + TOLERANCE) {
            exceeded.push(format!("{scenario} takes {count} instructions instead of {allowed}"));
        }
    }
    if !exceeded.is_empty() {
        let exceeded = exceeded.join(", ");
        bail!("{exceeded}; `cargo xtask instructions --update` accepts it");
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
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([scenario, &rounds.to_string()])
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

fn compiler() -> Result<String> {
    let output = Command::new("rustc").arg("--version").current_dir(root()?).output();
    let output = output.context("cannot run rustc")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
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
        assert!(compare(&budget("a", 1000), &budget("a", 1049)).is_ok());
        assert!(compare(&budget("a", 1000), &budget("a", 1051)).is_err());
        assert!(compare(&budget("a", 1000), &budget("b", 2000)).is_ok());
    }
}
