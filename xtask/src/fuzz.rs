//! Fuzzes the targets in `fuzz/fuzz_targets`, each for a few seconds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::setup;
use crate::workspace::{cargo, root};

const CARGO_FUZZ: &str = "0.13.2";

/// The workspace has no `unsafe` code that a sanitizer could check, and without one the stable
/// compiler is sufficient.
const RUN: [&str; 6] = ["fuzz", "run", "--fuzz-dir", "fuzz", "--sanitizer", "none"];

/// The options of `cargo xtask fuzz`.
#[derive(Args)]
pub(crate) struct Options {
    /// Fuzzes only these targets instead of all
    targets: Vec<String>,
    /// Fuzzes each target for this long
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    seconds: u32,
    /// Runs one target on this input only, such as one that made it fail
    #[arg(long, value_name = "FILE")]
    replay: Option<String>,
}

/// Fuzzes the targets that the options select.
pub(crate) fn fuzz(options: &Options) -> Result<()> {
    let known = targets()?;
    if let Some(unknown) = options.targets.iter().find(|target| !known.contains(target)) {
        bail!("unknown target \"{unknown}\"; the targets are {}", known.join(", "));
    }
    set_up()?;
    if let Some(file) = &options.replay {
        let [target] = &options.targets[..] else { bail!("name one target for --replay") };
        return cargo(&[&RUN[..], &[target, file]].concat(), &[]);
    }
    let chosen = if options.targets.is_empty() { &known } else { &options.targets };
    run_all(chosen, options.seconds)
}

/// Fuzzes every target for that many seconds.
pub(crate) fn all(seconds: u32) -> Result<()> {
    set_up()?;
    run_all(&targets()?, seconds)
}

/// Returns the targets: each file is one.
fn targets() -> Result<Vec<String>> {
    let folder = root()?.join("fuzz/fuzz_targets");
    let mut targets = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let file = entry?.path();
        targets.extend(file.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    targets.sort_unstable();
    Ok(targets)
}

fn set_up() -> Result<()> {
    setup::c_compiler()?;
    // libFuzzer itself is compiled from C++.
    setup::program("c++", "a C++ compiler", &["g++"])?;
    if !setup::runs("cargo", &["fuzz", "--version"]) {
        cargo(&["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked"], &[])?;
    }
    cargo(&["fuzz", "build", "--fuzz-dir", "fuzz", "--sanitizer", "none"], &[])
}

fn run_all(targets: &[String], seconds: u32) -> Result<()> {
    let mut table =
        format!("{:15} {:>10} {:>8} {:>6}\n", "target", "executions", "a second", "edges");
    let mut failed = Vec::new();
    for target in targets {
        eprintln!("fuzzing {target} for {seconds} s");
        match run(target, seconds) {
            Ok(Stats { executions, edges }) => {
                let rate = executions / u64::from(seconds.max(1));
                table += &format!("{target:15} {executions:>10} {rate:>8} {edges:>6}\n");
            }
            Err(error) => {
                eprintln!("{error:#}");
                failed.push(target.as_str());
            }
        }
    }
    eprint!("\n{table}");
    if !failed.is_empty() {
        bail!("fuzzing failed: {}", failed.join(", "));
    }
    Ok(())
}

/// The result of a run.
struct Stats {
    executions: u64,
    /// The number of edges of the code that it covered.
    edges: u64,
}

fn run(target: &str, seconds: u32) -> Result<Stats> {
    let root = root()?;
    // libFuzzer writes new inputs to the first folder. The second one is in the repository.
    let found = root.join("fuzz/target/corpus").join(target);
    fs::create_dir_all(&found).with_context(|| found.display().to_string())?;
    let kept = root.join("fuzz/corpus").join(target);
    let time = format!("-max_total_time={seconds}");
    // An input that takes 10 s counts as a hang. Inputs longer than 1,024 bytes find nothing new.
    let limits = ["-timeout=10", "-max_len=1024", "-print_final_stats=1", &time];
    let done = Command::new("cargo")
        .args(RUN)
        .arg(target)
        .args([&found, &kept])
        .arg("--")
        .args(limits)
        .envs(setup::protoc()?)
        .current_dir(&root)
        .output()
        .context("cannot run cargo fuzz")?;
    let output = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        bail!("{output}\n{target} failed{}", replay(target, &output, &root));
    }
    let read =
        |word| number_after(&output, word).with_context(|| format!("no {word} in:\n{output}"));
    Ok(Stats { executions: read("stat::number_of_executed_units:")?, edges: read("cov:")? })
}

/// Returns the path of the input that made the target fail, and the commands for it.
fn replay(target: &str, output: &str, root: &Path) -> String {
    let Some((_, file)) = output.rsplit_once("Test unit written to ") else { return String::new() };
    let file = PathBuf::from(file.lines().next().unwrap_or_default());
    let file = file.strip_prefix(root).unwrap_or(&file).display();
    format!(
        ", on the input in {file}\nreplay it: cargo xtask fuzz {target} --replay {file}\n\
         when it is fixed, keep it: mv {file} fuzz/corpus/{target}/WHAT-IT-IS"
    )
}

/// Returns the last number after that word.
fn number_after(text: &str, word: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once(word)?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_several_numbers_is_read() {
        let output = "#2 INITED cov: 11 ft: 12\n#4194 DONE   cov: 306 ft: 1031 corp: 141/13Kb\n\
                    stat::number_of_executed_units: 4194\n";
        assert_eq!(number_after(output, "cov:"), Some(306));
        assert_eq!(number_after(output, "stat::number_of_executed_units:"), Some(4194));
        assert_eq!(number_after(output, "rss:"), None);
    }
}
