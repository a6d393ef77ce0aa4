//! Finds the root of the workspace, and runs `cargo` and other programs in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup;

/// Runs `cargo` in the root of the workspace, and fails if it fails.
pub(crate) fn cargo(arguments: &[&str], environment: &[(&str, PathBuf)]) -> Result<()> {
    let line = format!("cargo {}", arguments.join(" "));
    eprintln!("\n$ {line}");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(arguments)
        .envs(setup::protoc()?)
        .envs(environment.iter().cloned())
        .current_dir(root()?)
        .status()
        .with_context(|| format!("cannot run {line}"))?;
    if !status.success() {
        bail!("{line} failed ({status})");
    }
    Ok(())
}

/// Runs another program in the root of the workspace, and fails if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.current_dir(root()?).status();
    let status = status.with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed ({status})");
    }
    Ok(())
}

/// Returns the folder in which `cargo` builds.
pub(crate) fn target() -> Result<PathBuf> {
    let chosen = std::env::var_os("CARGO_TARGET_DIR").filter(|path| !path.is_empty());
    Ok(root()?.join(chosen.as_deref().map_or(Path::new("target"), Path::new)))
}

/// Returns the root of the workspace.
pub(crate) fn root() -> Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).context("xtask is not in a folder of the workspace")
}
