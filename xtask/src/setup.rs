//! What the build needs beside Rust.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// SQLite is compiled from C, so there must be a compiler for it: installed where that is possible.
pub(crate) fn c_compiler() -> Result<()> {
    if runs("cc", &["--version"]) {
        return Ok(());
    }
    if !runs("apt-get", &["--version"]) {
        bail!("no C compiler; install one (gcc or clang) so that `cc` can be run");
    }
    eprintln!("no C compiler: installing gcc with apt-get");
    for arguments in [&["update"][..], &["install", "--yes", "gcc", "libc6-dev"][..]] {
        let status = Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .context("cannot run apt-get")?;
        if !status.success() {
            bail!("apt-get {} failed ({status}); install gcc by hand", arguments.join(" "));
        }
    }
    Ok(())
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    let quiet =
        Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}
