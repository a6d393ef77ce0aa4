//! Installs the programs that the build and the tests need in addition to Rust.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Returns the environment variables with the compiler of protocol buffers and the files that it
/// includes, from which etcd's client is generated. If the user has set them, nothing is returned.
pub(crate) fn protoc() -> Result<Vec<(&'static str, PathBuf)>> {
    if std::env::var_os("PROTOC").is_some() {
        return Ok(Vec::new());
    }
    let found = (protoc_bin_vendored::protoc_bin_path(), protoc_bin_vendored::include_path());
    let (Ok(protoc), Ok(include)) = found else {
        bail!(
            "there is no packaged protoc for this platform; install one and set PROTOC to its path"
        );
    };
    Ok(vec![("PROTOC", protoc), ("PROTOC_INCLUDE", include)])
}

/// Makes sure that there is a C compiler, since SQLite is compiled from C.
pub(crate) fn c_compiler() -> Result<()> {
    program("cc", "a C compiler", &["gcc", "libc6-dev"])
}

/// Makes sure that there is Python with the module `venv`, which is a separate package in Debian.
pub(crate) fn python() -> Result<()> {
    let line = ["-c", "import ensurepip, venv"];
    provide("python3", &line, "Python with its module venv", &["python3", "python3-venv"])
}

/// Makes sure that there is a program, which Debian has in those packages.
pub(crate) fn program(program: &str, what: &str, packages: &[&str]) -> Result<()> {
    provide(program, &["--version"], what, packages)
}

/// Installs the packages unless the program runs with those arguments.
fn provide(program: &str, arguments: &[&str], what: &str, packages: &[&str]) -> Result<()> {
    if runs(program, arguments) {
        return Ok(());
    }
    if !runs("apt-get", &["--version"]) {
        bail!("there is no {what} ({program}); install it");
    }
    eprintln!("there is no {what}: installing {} with apt-get", packages.join(" "));
    apt_get(&["update"])?;
    apt_get(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

/// Makes sure that there is a browser for the dashboard, with its driver.
pub(crate) fn browser() -> Result<()> {
    program("chromium", "Chromium", &["chromium"])?;
    program("chromedriver", "ChromeDriver, of Chromium's version", &["chromium-driver"])
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .context("cannot run apt-get")?;
    if !status.success() {
        bail!("apt-get {} failed ({status}); are you root?", arguments.join(" "));
    }
    Ok(())
}

/// Returns whether the program succeeds; its output is not shown.
pub(crate) fn runs(program: &str, arguments: &[&str]) -> bool {
    let quiet =
        Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}
