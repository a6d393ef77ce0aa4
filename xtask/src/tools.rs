//! Provides programs that are Python packages: `pip` installs those that are not on `PATH`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::setup;
use crate::workspace::{run, target};

/// Returns a program of exactly that version: the one on `PATH`, or one that `pip` installs into a
/// separate environment.
pub(crate) fn install(program: &str, package: &str, version: &str) -> Result<PathBuf> {
    if is_version(Path::new(program), version) {
        return Ok(program.into());
    }
    let venv = target()?.join(format!("{program}-{version}"));
    let installed = venv.join("bin").join(program);
    if !is_version(&installed, version) {
        setup::python()?;
        eprintln!("installing {program} {version} with pip");
        // An incomplete environment is replaced.
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        let package = format!("{package}=={version}");
        run(Command::new(venv.join("bin/python")).args(["-m", "pip", "install", "-q", &package]))
            .with_context(|| format!("install {program} {version} and put it on PATH"))?;
    }
    Ok(installed)
}

/// Returns whether the program runs, and prints that version as its last word.
fn is_version(program: &Path, version: &str) -> bool {
    let printed = Command::new(program).arg("--version").output();
    printed.is_ok_and(|it| {
        let text = String::from_utf8_lossy(&it.stdout);
        text.split_whitespace().next_back().is_some_and(|it| it.trim_start_matches('v') == version)
    })
}
